// What the tests ask of the npm package: each question by its name, the answers as one JSON object on stdout.
// Usage: node chat.mjs <base URL> <model>

import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "the quick brown fox, jumps!" }];
const parameters = { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const create = (more) => client.chat.completions.create({ model, messages, ...more });

async function collected(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function failure(promise) {
  try {
    await promise;
    return { name: "none" };
  } catch (error) {
    const { status, code, param, requestID } = error;
    return { name: error.constructor.name, status, code, param, hasId: Boolean(requestID) };
  }
}

const questions = {
  whole: () => create(),
  streamed: async () => collected(await create({ stream: true, stream_options: { include_usage: true } })),
  raw: async () => {
    const { data, response } = await create().withResponse();
    return { content: data.choices[0].message.content, provider: response.headers.get("x-gateway-provider") };
  },
  tools: async () => collected(await create({ tools, stream: true })),
  helper: async () => (await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion()),
  embedding: async () => (await client.embeddings.create({ model, input: "a b", dimensions: 8 })).data[0].embedding,
  models: async () => (await collected(await client.models.list())).map(({ id }) => id),
  slash: async () => (await client.models.retrieve("org/echo")).id,
  hot: () => failure(create({ temperature: 3 })),
  unknown: () => failure(create({ model: "nope" })),
  broken: async () => failure(collected(await create({ model: "m", stream: true }))),
  limited: () => failure(create({ model: "limited" })),
  impatient: () => failure(client.chat.completions.create({ model: "slow", messages }, { timeout: 400 })),
};

const answers = {};
for (const [name, ask] of Object.entries(questions)) answers[name] = await ask();
console.log(JSON.stringify(answers));
