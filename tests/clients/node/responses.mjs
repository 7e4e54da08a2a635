// Ask over Responses with OpenAI's client for Node, or with Vercel's AI SDK, what standard input says, and print
// what came of it.
//
// In:  a JSON list of {client, baseURL, apiKey, model, form}; `client`: openai or ai; `form`: whole, streamed, tool
//      or object.
// Out: a JSON list in the same order of {answer, usage} or {error: {type, status, message}}.
import OpenAI from "openai";
import { text as readAll } from "node:stream/consumers";

import { inLanes } from "./lanes.mjs";

const QUESTION = "What is the weather in Oslo? Use the tool weather.";
const WEATHER = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const TOWN = {
  type: "object",
  properties: { name: { type: "string" } },
  required: ["name"],
  additionalProperties: false,
};

async function openai(job) {
  const client = new OpenAI({ apiKey: job.apiKey, baseURL: job.baseURL, maxRetries: 0 });
  switch (job.form) {
    case "whole":
      return client.responses.create({ model: job.model, input: "hello" });
    case "streamed": {
      const stream = client.responses.stream({ model: job.model, input: "hello" });
      let said = "";
      for await (const event of stream) if (event.type === "response.output_text.delta") said += event.delta;
      const last = await stream.finalResponse();
      if (last.output_text !== said) throw new Error(`${last.output_text} is not ${said}`);
      return last;
    }
    case "tool": {
      const tools = [{ type: "function", name: "weather", parameters: WEATHER, strict: true }];
      const input = [{ role: "user", content: QUESTION }];
      const first = await client.responses.create({ model: job.model, input, tools, store: false });
      const calls = first.output.filter((item) => item.type === "function_call");
      const results = calls.map((call) => {
        const output = `sunny in ${JSON.parse(call.arguments).city}`;
        return { type: "function_call_output", call_id: call.call_id, output };
      });
      return client.responses.create({
        model: job.model,
        input: [...input, ...first.output, ...results],
        tools,
        store: false,
      });
    }
    case "object":
      return client.responses.create({
        model: job.model,
        input: "a town",
        text: { format: { type: "json_schema", name: "town", schema: TOWN, strict: true } },
      });
  }
}

async function ai(job) {
  const { createOpenAI } = await import("@ai-sdk/openai");
  const { generateText, jsonSchema, Output, stepCountIs, streamText, tool } = await import("ai");
  const model = createOpenAI({ apiKey: job.apiKey, baseURL: job.baseURL })(job.model); // Responses by default
  const asked = { model, prompt: "hello", maxRetries: 0 };
  switch (job.form) {
    case "whole":
      return generateText(asked);
    case "streamed": {
      const answer = streamText({ ...asked, onError: () => {} });
      let text = "";
      for await (const part of answer.fullStream) {
        if (part.type === "text-delta") text += part.text;
        if (part.type === "error") throw part.error;
      }
      return { text, usage: await answer.usage };
    }
    case "tool": {
      const weather = tool({
        description: "The weather of a city",
        inputSchema: jsonSchema(WEATHER),
        execute: async ({ city }) => `sunny in ${city}`,
      });
      return generateText({ ...asked, prompt: QUESTION, tools: { weather }, stopWhen: stepCountIs(3) });
    }
    case "object": {
      const said = await generateText({ ...asked, prompt: "a town", output: Output.object({ schema: jsonSchema(TOWN) }) });
      return { text: JSON.stringify(said.output), usage: said.usage };
    }
  }
}

async function ask(job) {
  try {
    const said = await (job.client === "ai" ? ai(job) : openai(job));
    const usage = said.usage ?? {};
    const tokens = [usage.input_tokens ?? usage.inputTokens, usage.output_tokens ?? usage.outputTokens];
    return { answer: said.output_text ?? said.text, usage: tokens };
  } catch (error) {
    const { status, statusCode, message } = error;
    return { error: { type: error.constructor.name, status: status ?? statusCode ?? null, message } };
  }
}

const jobs = JSON.parse(await readAll(process.stdin));
console.log(JSON.stringify(await inLanes(jobs, ask)));
