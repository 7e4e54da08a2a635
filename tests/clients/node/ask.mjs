// Ask with the official client of Node what standard input says, and print what came of it.
//
// In:  a JSON list of {baseURL, model, text, stream, maxRetries, timeoutMs, stopAfter}.
// Out: a JSON list in the same order of {text} or {text, error: {type, status, code, message}}, `text` being
//      what had come until then. `stopAfter`: leave a stream after so many chunks.
import OpenAI from "openai";
import { text as readAll } from "node:stream/consumers";

import { inLanes } from "./lanes.mjs";

async function ask(job) {
  const client = new OpenAI({
    apiKey: "any",
    baseURL: job.baseURL,
    maxRetries: job.maxRetries,
    timeout: job.timeoutMs,
  });
  const body = { model: job.model, messages: [{ role: "user", content: job.text }] };
  let said = "";
  let finish = null;
  try {
    if (job.stream) {
      let chunks = 0;
      for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
        said += chunk.choices[0]?.delta?.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        if (++chunks === job.stopAfter) break;
      }
    } else {
      const answer = await client.chat.completions.create(body);
      said = answer.choices[0].message.content;
      finish = answer.choices[0].finish_reason;
    }
    return { text: said, finish };
  } catch (error) {
    const { status, code, message } = error;
    return { text: said, finish, error: { type: error.constructor.name, status, code, message } };
  }
}

const jobs = JSON.parse(await readAll(process.stdin));
console.log(JSON.stringify(await inLanes(jobs, ask)));
