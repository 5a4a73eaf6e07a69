// Scenarios of the Vercel AI SDK: what an application sees of the gateway.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, embed, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { serve } from "./scenario.mjs";

const provider = createOpenAICompatible({ name: "gateway", baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY,
  includeUsage: true, supportsStructuredOutputs: true });
const common = { maxRetries: 0 };
const chat = (name) => provider(name ?? "gpt-4o");
const weather = tool({ description: "The weather of a city.", inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}` });
const shape = z.object({ verdict: z.enum(["yes", "no"]), steps: z.array(z.object({ text: z.string() })) });

await serve({
  async generateText({ model }) {
    const { text, finishReason, usage } = await generateText({ ...common, model: chat(model), prompt: "hello" });
    return { text, finishReason, input: usage.inputTokens, output: usage.outputTokens };
  },

  async streamText({ model }) {
    const result = streamText({ ...common, model: chat(model), prompt: "hello" });
    let text = "";
    for await (const part of result.textStream) text += part;
    return { text, finishReason: await result.finishReason, output: (await result.usage).outputTokens };
  },

  async tools({ model }) {
    const { text, steps } = await generateText({ ...common, model: chat(model), prompt: "call:weather", tools: { weather }, stopWhen: stepCountIs(3) });
    return { text, calls: steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])) };
  },

  async streamTools({ model }) {
    const result = streamText({ ...common, model: chat(model), prompt: "call:weather", tools: { weather }, stopWhen: stepCountIs(3) });
    const seen = new Set();
    let text = "";
    for await (const part of result.fullStream) {
      seen.add(part.type);
      if (part.type === "text-delta") text += part.text;
    }
    return { text, seen: [...seen] };
  },

  async output({ model }) {
    const { output } = await generateText({ ...common, model: chat(model), prompt: "x", output: Output.object({ schema: shape }) });
    return { ok: shape.safeParse(output).success };
  },

  async embedMany({ count }) {
    const embedder = provider.textEmbeddingModel("text-embedding-3-small");
    const values = Array.from({ length: Number(count) }, (_, n) => `value ${n}`);
    const { embeddings, usage } = await embedMany({ ...common, model: embedder, values });
    const { embedding } = await embed({ ...common, model: embedder, value: values.at(-1) });
    return { count: embeddings.length, dimensions: embedding.length, tokens: usage.tokens,
      apart: Math.max(...embedding.map((x, i) => Math.abs(x - embeddings.at(-1)[i]))) };
  },

  async error({ model }) {
    return { text: (await generateText({ ...common, model: provider(model), prompt: "x" })).text };
  },

  async broken({ model }) {
    const result = streamText({ ...common, model: provider(model), prompt: "x", onError: () => {} });
    const seen = [];
    for await (const part of result.fullStream) {
      if (part.type === "error") return { error: String(part.error?.message ?? part.error), seen: seen.length };
      if (part.type === "text-delta") seen.push(part.text);
    }
    return { ended: true, finish: await result.finishReason };
  },
});
