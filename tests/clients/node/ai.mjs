// The same as ask.mjs by Vercel's AI SDK, whose model of this kind is for anything that speaks OpenAI's form.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { text as readAll } from "node:stream/consumers";

import { inLanes } from "./lanes.mjs";

async function ask(job) {
  const provider = createOpenAICompatible({ name: "compatible", apiKey: "any", baseURL: job.baseURL });
  const leave = new AbortController();
  const asked = {
    model: provider(job.model),
    prompt: job.text,
    maxRetries: job.maxRetries,
    abortSignal: AbortSignal.any([leave.signal, AbortSignal.timeout(job.timeoutMs)]),
  };
  let said = "";
  let finish = null;
  try {
    if (job.stream) {
      const answer = streamText({ ...asked, onError: () => {} });
      let chunks = 0;
      for await (const part of answer.fullStream) {
        if (part.type === "text-delta") said += part.text;
        if (++chunks === job.stopAfter) {
          leave.abort(); // ending the loop alone does not end the call
          break;
        }
        if (part.type === "finish") finish = part.finishReason;
        if (part.type === "error") throw part.error;
      }
    } else {
      const answer = await generateText(asked);
      said = answer.text;
      finish = answer.finishReason;
    }
    return { text: said, finish };
  } catch (error) {
    const last = error.lastError ?? error; // of a RetryError: what its last try met
    const { statusCode: status, message } = last;
    const code = last.data?.error?.code ?? null;
    return { text: said, finish, error: { type: last.name ?? "Error", status, code, message: message ?? String(last) } };
  }
}

const jobs = JSON.parse(await readAll(process.stdin));
console.log(JSON.stringify(await inLanes(jobs, ask)));
