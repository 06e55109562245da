import { ApiError, GoogleGenAI } from '@google/genai';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWeather, image, received, script, url, weather } from './sim.mjs';

const client = (httpOptions) => new GoogleGenAI({ apiKey: 'test', httpOptions: { baseUrl: url, ...httpOptions } }).models;
const ask = (contents, config) => ({ model: 'gemini-3-flash', contents, config });

async function collect(params) {
  const chunks = [];
  for await (const chunk of await client().generateContentStream(params)) chunks.push(chunk);
  return chunks;
}

const partsOf = (response) => response.candidates[0].content.parts;

for (const [name, config] of Object.entries({
  text: {},
  bounded: { maxOutputTokens: 3 },
  thinking: { thinkingConfig: { includeThoughts: true } },
  schema: { responseMimeType: 'application/json', responseJsonSchema: weather },
  tools: { tools: [{ functionDeclarations: ['get_weather', 'get_tides'].map((tool) => ({ name: tool, parametersJsonSchema: weather })) }] },
})) {
  test(`a streamed answer says what the whole one says: ${name}`, async () => {
    const question = [{ role: 'user', parts: [{ text: `Call get_weather and get_tides for Paris: ${name}` }] }];
    const whole = await client().generateContent(ask(question, config));
    const chunks = await collect(ask(question, config));
    const said = (parts, thought) => parts.filter((part) => Boolean(part.thought) === thought).map((part) => part.text ?? '').join('');
    for (const thought of [false, true]) assert.equal(said(chunks.flatMap(partsOf), thought), said(partsOf(whole), thought));
    assert.deepEqual(chunks.at(-1).usageMetadata, whole.usageMetadata);
    assert.equal(chunks.at(-1).candidates[0].finishReason, whole.candidates[0].finishReason);
    if (name === 'schema') checkWeather({ city: 'Paris', ...JSON.parse(whole.text) });
    if (name !== 'tools') return;
    assert.deepEqual(chunks.flatMap((chunk) => chunk.functionCalls ?? []), whole.functionCalls);
    assert.equal(whole.functionCalls.length, 2);
    checkWeather(whole.functionCalls[0].args);
    const results = whole.functionCalls.map(({ name: called }) => ({ functionResponse: { name: called, response: { output: 'rain' } } }));
    const done = await client().generateContent(ask([...question, whole.candidates[0].content, { role: 'user', parts: results }], config));
    assert.equal(done.functionCalls, undefined);
    assert.ok(done.text);
  });
}

test('images cost input, and tokens are counted as they are charged', async () => {
  const contents = [{ role: 'user', parts: [{ text: 'What is this?' }, { inlineData: { mimeType: 'image/png', data: image } }] }];
  const { usageMetadata } = await client().generateContent(ask(contents));
  const { totalTokens } = await client().countTokens(ask(contents));
  assert.equal(usageMetadata.promptTokenCount, totalTokens);
  assert.ok(totalTokens > 80);
});

test('texts are embedded', async () => {
  const { embeddings } = await client().embedContent({ ...ask(['one', 'two']), config: { outputDimensionality: 64 } });
  assert.deepEqual(embeddings.map(({ values }) => values.length), [64, 64]);
});

test('failures become the exceptions of the SDK', async () => {
  for (const [fail, status, kind] of [
    ['429', 429, 'RESOURCE_EXHAUSTED'], ['401', 401, 'UNAUTHENTICATED'], ['500', 500, 'INTERNAL'], ['overloaded', 503, 'UNAVAILABLE'],
  ]) {
    await assert.rejects(client().generateContent({ ...ask('Hello'), model: `m;fail=${fail}` }), (err) => {
      assert.ok(err instanceof ApiError, `${fail}: ${err}`);
      assert.equal(err.status, status);
      assert.equal(JSON.parse(err.message).error.status, kind);
      return true;
    });
  }
  await assert.rejects(client().generateContent({ ...ask('Hello'), model: 'missing-model' }), ApiError);
  await assert.rejects(collect({ ...ask('Hello'), model: 'm;fail=cut' }));
});

test('what can be retried is', async () => {
  await script({ fail: '429', model: 'gemini-retried' }, { fail: 'overloaded', model: 'gemini-retried' });
  const patient = client({ retryOptions: { attempts: 3, initialDelay: 0.001, maxDelay: 0.002 } });
  await patient.generateContent({ ...ask('Hello again and again'), model: 'gemini-retried' });
  assert.deepEqual((await received('again and again')).map(({ status }) => status), [429, 503, 200]);
});

test('models are listed', async () => {
  const names = [];
  for await (const model of await client().list()) names.push(model.name);
  assert.ok(names.includes('models/sim-small'));
});
