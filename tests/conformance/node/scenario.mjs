// Serves scenarios: a line `[name, arguments]` comes in, a line `{"value"}` or `{"error"}` goes out.
import { createInterface } from "node:readline";

export const userMessages = [{ role: "user", content: "Grüße 你好 🎈" }];
export const weatherSchema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };

export async function serve(scenarios) {
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, given] = JSON.parse(line);
    let outcome;
    try {
      outcome = { value: await scenarios[name](given) };
    } catch (error) {
      outcome = { error: told(error) };
    }
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
  }
}

// What an application could know of an error, the names of its class and of those above it among it.
function told(error) {
  const classes = [];
  for (let one = error.constructor; one?.name; one = Object.getPrototypeOf(one)) classes.push(one.name);
  const { code, type, param, message, requestID: requestId, isRetryable: retryable, got } = error;
  return { classes, status: error.status ?? error.statusCode, code, type, param, message, requestId, retryable, got };
}
