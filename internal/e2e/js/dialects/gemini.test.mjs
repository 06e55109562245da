// Google's SDK.
import { ApiError, GoogleGenAI } from '@google/genai';
import assert from 'node:assert/strict';

import { cases } from './cases.mjs';
import { collect, key, system, url, weather } from './shared.mjs';

const client = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url } }).models;

function request(model, ask) {
  const parts = [{ text: ask.prompt }];
  if (ask.picture) parts.push({ inlineData: { mimeType: 'image/png', data: ask.picture } });
  const contents = [{ role: 'user', parts }];
  if (ask.turn) {
    const calls = ask.turn.filter(({ functionCall }) => functionCall).map(({ functionCall }) => functionCall);
    contents.push({ role: 'model', parts: ask.turn }, {
      role: 'user',
      parts: calls.map(({ id, name }, i) => ({ functionResponse: { id, name, response: { output: ask.results[i] } } })),
    });
  }
  const declare = (name) => ({ name, description: `Do ${name}`, parametersJsonSchema: weather });
  return {
    model,
    contents,
    config: {
      systemInstruction: system,
      maxOutputTokens: ask.max,
      stopSequences: ask.stop,
      tools: ask.tools && [{ functionDeclarations: ask.tools.map(declare) }],
      responseMimeType: ask.schema && 'application/json',
      responseJsonSchema: ask.schema,
      thinkingConfig: ask.thinks && { includeThoughts: true, thinkingBudget: 2048 },
    },
  };
}

const textOf = (part) => (part.thought ? '' : part.text ?? ''); // chunk.text would warn of tool calls

// read reads a whole answer, or all chunks of one.
function read(chunks) {
  const parts = chunks.flatMap(({ candidates }) => candidates?.[0]?.content?.parts ?? []);
  const calls = parts.filter(({ functionCall }) => functionCall).map(({ functionCall }) => functionCall);
  const ends = chunks.map(({ candidates }) => candidates?.[0]?.finishReason).filter(Boolean);
  assert.ok(ends.length <= 1, `${ends}`);
  const usage = chunks.at(-1).usageMetadata;
  return {
    text: parts.map(textOf).join(''),
    calls: calls.map(({ name, args }) => ({ name, args })),
    finish: calls.length > 0 && ends[0] === 'STOP' ? 'calls' : { STOP: 'stop', MAX_TOKENS: 'length' }[ends[0]],
    usage: { in: usage?.promptTokenCount, out: (usage?.candidatesTokenCount ?? 0) + (usage?.thoughtsTokenCount ?? 0) },
    turn: parts.filter((part) => part.text !== '' || part.thoughtSignature),
  };
}

const gemini = (apiKey) => ({
  name: 'genai',
  as: gemini,
  async whole(model, ask) {
    return read([await client(apiKey).generateContent(request(model, ask))]);
  },
  async stream(model, ask, pieces = []) {
    const chunks = [];
    for await (const chunk of await client(apiKey).generateContentStream(request(model, ask))) {
      chunks.push(chunk);
      const text = (chunk.candidates?.[0].content?.parts ?? []).map(textOf).join('');
      if (text) pieces.push(text);
    }
    return read(chunks);
  },
  refused(err, status) {
    assert.ok(err instanceof ApiError, `${err?.constructor?.name}: ${err}`);
    assert.equal(err.status, status);
    const { error } = JSON.parse(err.message);
    assert.equal(error.code, status);
    assert.equal(error.status, { 400: 'INVALID_ARGUMENT', 401: 'UNAUTHENTICATED', 404: 'NOT_FOUND' }[status]);
    assert.ok(error.message);
  },
  async embed(model, contents) {
    const { embeddings } = await client(apiKey).embedContent({ model, contents });
    return embeddings.map(({ values }) => values);
  },
  async count(model, contents) {
    return (await client(apiKey).countTokens({ model, contents })).totalTokens;
  },
  async list() {
    return (await collect(await client(apiKey).list())).map(({ name }) => name.replace(/^models\//, ''));
  },
});

cases(gemini(key));
