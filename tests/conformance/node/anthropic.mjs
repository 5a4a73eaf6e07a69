// Scenarios of @anthropic-ai/sdk: what an application sees of the gateway.
import Anthropic from "@anthropic-ai/sdk";
import { serve, userMessages as messages, weatherSchema } from "./scenario.mjs";

const baseURL = process.env.BASE_URL.replace(/\/v1$/, "");
const client = (options = {}) => new Anthropic({ baseURL, apiKey: process.env.API_KEY, maxRetries: 0, timeout: 10_000, ...options });
const tools = ["weather", "time"].map((name) => ({ name, description: `The ${name}.`, input_schema: weatherSchema }));
const words = (message) => message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
const uses = (message) => message.content.filter((block) => block.type === "tool_use");

await serve({
  async create({ model }) {
    const { data, request_id } = await client().messages.create({ model, max_tokens: 100, messages }).withResponse();
    return { model: data.model, text: words(data), reason: data.stop_reason, usage: data.usage, requestId: request_id };
  },

  async stream({ model }) {
    const kinds = [];
    let text = "";
    const stream = client().messages.stream({ model, max_tokens: 100, messages });
    stream.on("streamEvent", (event) => kinds.push(event.type));
    stream.on("text", (delta) => (text += delta));
    const final = await stream.finalMessage();
    return { kinds, text, same: words(final), reason: final.stop_reason, usage: final.usage };
  },

  async tools({ model }) {
    const asked = [{ role: "user", content: "call:weather call:time" }];
    const message = await client().messages.stream({ model, max_tokens: 200, messages: asked, tools }).finalMessage();
    const results = uses(message).map((use) => ({ type: "tool_result", tool_use_id: use.id, content: `${use.name} done` }));
    const talk = [...asked, { role: "assistant", content: message.content }, { role: "user", content: results }];
    const after = await client().messages.create({ model, max_tokens: 200, messages: talk, tools });
    return { calls: uses(message).map((use) => [use.name, use.input]), reason: message.stop_reason, text: words(after) };
  },

  async count({ model }) {
    return await client().messages.countTokens({ model, messages, tools });
  },

  async models() {
    const ids = [];
    for await (const model of client().models.list({ limit: 3 })) ids.push(model.id);
    return { ids, slashed: (await client().models.retrieve("org/model-7b")).id };
  },

  async error({ model, key }) {
    return words(await client(key ? { apiKey: key } : {}).messages.create({ model, max_tokens: 100, messages }));
  },

  async retries({ model }) {
    return words(await client({ maxRetries: 2 }).messages.create({ model, max_tokens: 100, messages }));
  },

  async broken({ model }) {
    let got = 0;
    try {
      for await (const event of await client().messages.create({ model, max_tokens: 100, messages, stream: true })) got += event.type ? 1 : 0;
    } catch (error) {
      error.got = got;
      throw error;
    }
    return { got };
  },
});
