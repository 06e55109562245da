// The AI SDK, with its providers for the three dialects.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, embedMany, generateText, jsonSchema, streamText, tool } from 'ai';
import assert from 'node:assert/strict';

import { cases } from './cases.mjs';
import { key, system, url, weather } from './shared.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false; // a provider warns of what its dialect has no word for

function request(model, ask, providerOptions) {
  const content = [{ type: 'text', text: ask.prompt }];
  if (ask.picture) content.push({ type: 'file', mediaType: 'image/png', data: ask.picture });
  const messages = [{ role: 'user', content }];
  if (ask.turn) {
    const calls = ask.turn.flatMap((message) => message.content).filter(({ type }) => type === 'tool-call');
    messages.push(...ask.turn, {
      role: 'tool',
      content: calls.map(({ toolCallId, toolName }, i) => (
        { type: 'tool-result', toolCallId, toolName, output: { type: 'text', value: ask.results[i] } })),
    });
  }
  const declare = (name) => [name, tool({ description: `Do ${name}`, inputSchema: jsonSchema(weather) })];
  return {
    model,
    instructions: system,
    messages,
    maxRetries: 0,
    stopSequences: ask.stop,
    maxOutputTokens: ask.max,
    tools: ask.tools && Object.fromEntries(ask.tools.map(declare)),
    output: ask.schema && Output.object({ schema: jsonSchema(ask.schema) }),
    providerOptions: ask.thinks ? providerOptions : undefined,
  };
}

async function read(result) {
  const usage = await result.usage;
  const finish = await result.finishReason;
  return {
    text: await result.text,
    calls: (await result.toolCalls).map(({ toolName, input }) => ({ name: toolName, args: input })),
    finish: finish === 'tool-calls' ? 'calls' : finish,
    usage: { in: usage.inputTokens, out: usage.outputTokens },
    turn: (await result.response).messages,
  };
}

// through is the AI SDK with one of its providers.
function through(name, create, path, { thinking, embeds, lacks } = {}) {
  const sdk = (apiKey) => {
    const provider = create({ name, baseURL: `${url}${path}`, apiKey, includeUsage: true, supportsStructuredOutputs: true });
    return {
      name: `ai ${name}`,
      lacks,
      as: sdk,
      async whole(model, ask) {
        return read(await generateText(request(provider(model), ask, thinking)));
      },
      async stream(model, ask, pieces = []) {
        const result = streamText({ ...request(provider(model), ask, thinking), onError() {} });
        for await (const part of result.fullStream) {
          if (part.type === 'error') throw part.error;
          if (part.type === 'text-delta') pieces.push(part.text);
        }
        return read(result);
      },
      refused(err, status) {
        assert.ok(APICallError.isInstance(err), `${err?.constructor?.name}: ${err}`);
        assert.equal(err.statusCode, status);
        assert.ok(err.data, 'the error is not in the form that the SDK reads');
      },
      embed: embeds && (async (model, values) => (
        await embedMany({ model: provider.embeddingModel(model), values, maxRetries: 0 })).embeddings),
    };
  };
  cases(sdk(key));
}

through('openai-compatible', createOpenAICompatible, '/v1', { embeds: true });
through('openai', createOpenAI, '/v1', { lacks: ['stop'] });
through('anthropic', createAnthropic, '/v1', { thinking: { anthropic: { thinking: { type: 'adaptive' } } } });
through('google', createGoogleGenerativeAI, '/v1beta', { embeds: true, thinking: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 } } } });
