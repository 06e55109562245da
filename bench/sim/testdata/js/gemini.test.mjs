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

// converse opens a Live session; until hears up to the message for which last is true.
async function converse(t, config) {
  const heard = [];
  let wake = () => {};
  const tell = (what) => { heard.push(what); wake(); };
  const session = await new GoogleGenAI({ apiKey: 'test', httpOptions: { baseUrl: url } }).live.connect({
    model: 'gemini-live', config, callbacks: { onmessage: tell, onclose: ({ code, reason }) => tell({ closed: { code, reason } }) },
  });
  t.after(() => session.close());
  const until = async (last) => {
    const all = [];
    for (;;) {
      while (!heard.length) await new Promise((resolve) => { wake = resolve; });
      all.push(heard.shift());
      if (last(all.at(-1))) return all;
      assert.ok(!all.at(-1).closed, JSON.stringify(all.at(-1)));
    }
  };
  return { session, until };
}

const turnComplete = ({ serverContent }) => serverContent?.turnComplete;
const liveText = (all) => all.map(({ serverContent }) => serverContent?.modelTurn?.parts[0].text ?? '').join('');

test('a Live session says what a POST says', async (t) => {
  const declaration = { name: 'get_weather', parametersJsonSchema: weather };
  const tools = [{ functionDeclarations: [declaration] }];
  const { session, until } = await converse(t, { responseModalities: ['TEXT'], tools });
  session.sendClientContent({ turns: 'One' });
  const all = await until(turnComplete);
  const whole = await client().generateContent({ ...ask('One', { tools }), model: 'gemini-live' });
  assert.equal(liveText(all), whole.text);
  const { usageMetadata } = all.at(-1);
  assert.equal(usageMetadata.promptTokenCount, whole.usageMetadata.promptTokenCount);
  assert.equal(usageMetadata.responseTokenCount, whole.usageMetadata.candidatesTokenCount);

  session.sendClientContent({ turns: 'Call get_weather for Paris' });
  const [{ toolCall }] = await until((message) => message.toolCall);
  checkWeather(toolCall.functionCalls[0].args);
  const { id, name } = toolCall.functionCalls[0];
  session.sendToolResponse({ functionResponses: [{ id, name, response: { output: 'rain' } }] });
  assert.ok(liveText(await until(turnComplete)));

  await script({ fail: '503', method: 'WS' });
  session.sendClientContent({ turns: 'Two' });
  const [{ closed }] = await until((message) => message.closed);
  assert.equal(closed.code, 1011);
  assert.match(closed.reason, /unavailable/);
});

test('a Live session hears when a turn is over, and speaks', async (t) => {
  const { session, until } = await converse(t, { responseModalities: ['AUDIO'], inputAudioTranscription: {}, outputAudioTranscription: {} });
  for (const sample of [16, 0]) {
    session.sendRealtimeInput({ audio: { data: Buffer.alloc(32 * 500, sample).toString('base64'), mimeType: 'audio/pcm;rate=16000' } });
  }
  const all = (await until(turnComplete)).filter(({ serverContent }) => serverContent);
  assert.ok(all[0].serverContent.inputTranscription.text);
  const { usageMetadata } = all.at(-1);
  assert.deepEqual(usageMetadata.promptTokensDetails.find(({ modality }) => modality === 'AUDIO'), { modality: 'AUDIO', tokenCount: 10 });
  const sound = all.map(({ serverContent }) => serverContent.modelTurn?.parts[0].inlineData.data ?? '');
  const bytes = sound.reduce((sum, data) => sum + Buffer.from(data, 'base64').length, 0);
  assert.deepEqual(usageMetadata.responseTokensDetails, [{ modality: 'AUDIO', tokenCount: bytes / 2400 }]);
});
