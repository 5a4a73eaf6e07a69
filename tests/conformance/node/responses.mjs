// Scenarios of the Vercel AI SDK's OpenAI provider, which speaks the Responses API unless told otherwise, and of openai-node.
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";
import { serve } from "./scenario.mjs";

const provider = createOpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY });
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const common = { maxRetries: 0 };
const unstored = { providerOptions: { openai: { store: false } } };
const weather = tool({ description: "The weather of a city.", inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}` });
const shape = z.object({ verdict: z.enum(["yes", "no"]), steps: z.array(z.object({ text: z.string() })) });

await serve({
  async generateText({ model }) {
    const { text, finishReason, usage } = await generateText({ ...common, model: provider(model), prompt: "hello" });
    return { text, finishReason, counted: usage.inputTokens > 0 && usage.outputTokens > 0 };
  },

  async streamText({ model }) {
    const result = streamText({ ...common, model: provider(model), prompt: "hello" });
    let text = "";
    for await (const part of result.textStream) text += part;
    return { text, finishReason: await result.finishReason, counted: (await result.usage).outputTokens > 0 };
  },

  async tools({ model }) {
    const { text, steps } = await generateText({ ...common, model: provider(model), prompt: "call:weather", tools: { weather }, stopWhen: stepCountIs(3) });
    return { text, calls: steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])) };
  },

  async streamTools({ model }) {
    const result = streamText({ ...common, model: provider(model), prompt: "call:weather", tools: { weather }, stopWhen: stepCountIs(3) });
    const seen = new Set();
    let text = "";
    for await (const part of result.fullStream) {
      seen.add(part.type);
      if (part.type === "text-delta") text += part.text;
    }
    return { text, seen: [...seen] };
  },

  async reasoning({ model }) {
    const result = streamText({ ...common, model: provider(model), prompt: "hm" });
    let thought = "";
    for await (const part of result.fullStream) if (part.type === "reasoning-delta") thought += part.text;
    return { thought, text: await result.text };
  },

  async turns({ model, stored }) {
    const more = stored ? {} : unstored;
    const first = await generateText({ ...common, ...more, model: provider(model), prompt: "one" });
    const messages = [{ role: "user", content: "one" }, ...first.response.messages, { role: "user", content: "two" }];
    return { text: (await generateText({ ...common, ...more, model: provider(model), messages })).text };
  },

  async output({ model }) {
    const { output } = await generateText({ ...common, model: provider(model), prompt: "x", output: Output.object({ schema: shape }) });
    return { ok: shape.safeParse(output).success };
  },

  async broken({ model }) {
    const result = streamText({ ...common, model: provider(model), prompt: "x", onError: () => {} });
    let seen = 0;
    for await (const part of result.fullStream) {
      if (part.type === "error") return { error: JSON.stringify(part.error?.message ?? part.error), seen };
      if (part.type === "text-delta") seen += 1;
    }
    return { ended: true, finish: await result.finishReason };
  },

  async openai({ model }) {
    const tools = [{ type: "function", name: "weather", strict: false, parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } }];
    const stream = client.responses.stream({ model, input: "call:weather", tools });
    let deltas = "";
    stream.on("response.function_call_arguments.delta", (event) => { deltas += event.delta; });
    const final = await stream.finalResponse();
    const [call] = final.output.filter((item) => item.type === "function_call");
    const input = [{ role: "user", content: "call:weather" }, ...final.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" }];
    const answer = await client.responses.create({ model, input, tools });
    return { name: call.name, same: deltas === call.arguments, text: answer.output_text };
  },
});
