// Scenarios of openai-node: what an application sees of the gateway.
import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { serve, userMessages as messages, weatherSchema } from "./scenario.mjs";

const client = (options = {}) =>
  new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0, timeout: 10_000, ...options });
const weather = { type: "function", function: { name: "weather", parameters: weatherSchema } };

async function joined(stream, take = (chunk) => chunk.choices[0]?.delta?.content ?? "") {
  let text = "";
  for await (const chunk of stream) text += take(chunk);
  return text;
}

await serve({
  async chat() {
    const { data, response, request_id } = await client().chat.completions.create({ model: "gpt-4o", messages }).withResponse();
    return { model: data.model, text: data.choices[0].message.content, usage: data.usage, requestId: request_id, same: data._request_id,
      provider: response.headers.get("x-gateway-provider") };
  },

  async stream({ model }) {
    const chunks = [];
    for await (const chunk of await client().chat.completions.create({ model, messages, stream: true })) chunks.push(chunk);
    return { text: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), usages: chunks.filter((chunk) => chunk.usage).length,
      ids: new Set(chunks.map((chunk) => chunk.id)).size, finish: chunks.at(-1).choices[0].finish_reason };
  },

  async streamUsage() {
    const stream_options = { include_usage: true };
    const runner = client().chat.completions.stream({ model: "gpt-4o", messages, stream_options });
    const final = await runner.finalChatCompletion();
    return { text: final.choices[0].message.content, usage: final.usage };
  },

  async tools({ model, content }) {
    const asked = content ? [{ role: "user", content }] : messages;
    const tools = [weather, { type: "function", function: { ...weather.function, name: "time" } }];
    const runner = client().chat.completions.stream({ model, messages: asked, tools });
    let fragments = 0;
    runner.on("tool_calls.function.arguments.delta", () => (fragments += 1));
    const final = await runner.finalChatCompletion();
    return { calls: final.choices[0].message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]), fragments,
      finish: final.choices[0].finish_reason };
  },

  async runTools({ model }) {
    const tool = { ...weather.function, function: ({ city }) => `sunny in ${city}`, parse: JSON.parse };
    const runner = client().chat.completions.runTools({ model, messages: [{ role: "user", content: "call:weather" }],
      tools: [{ type: "function", function: tool }] });
    return { text: await runner.finalContent() };
  },

  async parse({ model }) {
    const shape = z.object({ verdict: z.enum(["yes", "no"]), steps: z.array(z.string()) });
    const answer = await client().chat.completions.parse({ model, messages, response_format: zodResponseFormat(shape, "shape") });
    return { ok: shape.safeParse(answer.choices[0].message.parsed).success };
  },

  async embeddings() {
    const ask = { model: "text-embedding-3-small", input: ["a", "b"], dimensions: 768 };
    const byDefault = await client().embeddings.create(ask);
    const floats = await client().embeddings.create({ ...ask, encoding_format: "float" });
    const far = byDefault.data.flatMap((one, n) => one.embedding.map((x, i) => Math.abs(x - floats.data[n].embedding[i])));
    return { sizes: byDefault.data.map((one) => one.embedding.length), apart: Math.max(...far) };
  },

  async upload({ size }) {
    const file = await toFile(Buffer.alloc(Number(size), 7), "sound.wav");
    const heard = await client().audio.transcriptions.create({ model: "whisper-1", file });
    const speech = await client().audio.speech.create({ model: "tts-1", voice: "alloy", input: "hello", response_format: "wav" });
    return { text: heard.text, speech: Buffer.from(await speech.arrayBuffer()).subarray(0, 4).toString() };
  },

  async responses() {
    const whole = await client().responses.create({ model: "gpt-4o", input: "hello" });
    const types = [];
    let text = "";
    for await (const event of await client().responses.create({ model: "gpt-4o", input: "hello", stream: true })) {
      types.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    return { whole: whole.output_text, text, first: types[0], last: types.at(-1) };
  },

  async models() {
    const ids = [];
    for await (const model of client().models.list()) ids.push(model.id);
    return { ids, slashed: (await client().models.retrieve("org/model-7b")).id };
  },

  async error({ model, key }) {
    const refused = client(key ? { apiKey: key } : {});
    return { answer: (await refused.chat.completions.create({ model, messages })).model };
  },

  async retries({ model }) {
    return { answer: (await client({ maxRetries: 2 }).chat.completions.create({ model, messages })).model };
  },

  async broken({ model }) {
    let got = 0;
    try {
      for await (const chunk of await client().chat.completions.create({ model, messages, stream: true })) got += chunk.choices.length;
    } catch (error) {
      error.got = got;
      throw error;
    }
    return { got };
  },

  async brokenResponses({ model }) {
    return { text: await joined(await client().responses.create({ model, input: "x", stream: true }), (event) => event.delta ?? "") };
  },

  async leaving({ model }) {
    const stream = await client().chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break;
    return { text: (await client().chat.completions.create({ model: "gpt-4o", messages })).choices[0].message.content };
  },
});
