// Ask with Anthropic's client for Node what standard input says, and print what came of it.
//
// In:  a JSON list of {baseURL, apiKey, request, form, maxRetries, stopAfter}; `form`: whole, streamed, counted
//      or listed. `stopAfter`: leave a stream after so many events.
// Out: a JSON list in the same order of {answer} or {error: {type, status, body, message}}.
import Anthropic from "@anthropic-ai/sdk";
import { text as readAll } from "node:stream/consumers";

import { inLanes } from "./lanes.mjs";

async function answer(client, job) {
  switch (job.form) {
    case "whole":
      return await client.messages.create(job.request);
    case "streamed": {
      const stream = client.messages.stream(job.request);
      let events = 0;
      for await (const _ of stream) {
        if (++events === job.stopAfter) return stream.abort(), null;
      }
      return await stream.finalMessage();
    }
    case "counted":
      return await client.messages.countTokens(job.request);
    case "listed": {
      const found = [];
      for await (const model of client.models.list({ limit: 2 })) found.push(model);
      return found;
    }
  }
}

async function ask(job) {
  const client = new Anthropic({ apiKey: job.apiKey, baseURL: job.baseURL, maxRetries: job.maxRetries });
  try {
    return { answer: await answer(client, job) };
  } catch (error) {
    const { status, error: body, message } = error;
    return { error: { type: error.constructor.name, status, body, message } };
  }
}

const jobs = JSON.parse(await readAll(process.stdin));
console.log(JSON.stringify(await inLanes(jobs, ask)));
