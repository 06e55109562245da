import OpenAI, { toFile } from 'openai';
import assert from 'node:assert/strict';
import test from 'node:test';

import { client, collect, eventually, question, received, url } from './wedge.mjs';

const openai = client();
const passed = client({ defaultHeaders: { 'x-wedge-provider': 'sim' } });

test('completions, whole and streamed', async () => {
  const params = { model: 'demo', prompt: [question('Once upon'), question('a time')] };
  const whole = await openai.completions.create(params);
  assert.equal(whole.choices.length, 2);
  assert.ok(whole.usage.total_tokens > 0);
  for (const headers of [{}, { 'x-wedge-cache': 'no-cache' }]) {
    const texts = ['', ''];
    for (const chunk of await collect(await openai.completions.create({ ...params, stream: true }, { headers }))) {
      for (const choice of chunk.choices) texts[choice.index] += choice.text;
    }
    assert.deepEqual(texts, whole.choices.map((choice) => choice.text));
  }
});

test('embeddings: what the SDK unpacks from base64 is what the provider says in digits', async () => {
  const params = { model: 'demo-embed', input: [question(), question()] };
  const packed = await openai.embeddings.create(params); // the SDK asks for base64 if the application does not say
  const digits = await openai.embeddings.create({ ...params, encoding_format: 'float' });
  assert.equal(packed.data.length, 2);
  packed.data.forEach(({ embedding }, i) => {
    assert.ok(embedding.length > 100);
    assert.equal(embedding.length, digits.data[i].embedding.length);
    embedding.forEach((value, j) => assert.ok(Math.abs(value - digits.data[i].embedding[j]) < 1e-6));
  });
  const { data, response } = await openai.embeddings.create(params).withResponse();
  assert.equal(response.headers.get('x-wedge-cache'), 'hit-memory');
  assert.deepEqual(data.data, packed.data);
});

test('models', async () => {
  const ids = (await collect(await openai.models.list())).map((model) => model.id);
  assert.ok(ids.includes('demo') && ids.includes('demo-embed'), ids.join());
  for (const id of ids) {
    const model = await openai.models.retrieve(id);
    assert.deepEqual([model.id, model.object], [id, 'model']);
  }
});

test('images', async () => {
  const images = await openai.images.generate({ model: 'sim/painter', prompt: question('A red square') });
  const png = Buffer.from(images.data[0].b64_json, 'base64');
  assert.equal(png.subarray(1, 4).toString(), 'PNG');
});

test('speech there and back', async () => {
  const speech = await openai.audio.speech.create({ model: 'sim/speaker', input: question(), voice: 'alloy' });
  const wav = Buffer.from(await speech.arrayBuffer());
  assert.equal(wav.subarray(0, 4).toString(), 'RIFF');
  assert.equal(wav.length, wav.readUInt32LE(4) + 8, 'the sound is whole');
  const file = await toFile(wav, 'said.wav', { type: 'audio/wav' });
  const heard = await openai.audio.transcriptions.create({ model: 'sim/listener', file });
  assert.ok(heard.text);
});

test('moderations', async () => {
  const judged = await openai.moderations.create({ model: 'sim/judge', input: ['peace', 'I will KILL it'] });
  assert.deepEqual(judged.results.map((result) => result.flagged), [false, true]);
  const bare = await passed.moderations.create({ input: 'peace' });
  assert.equal(bare.results[0].flagged, false);
});

test('files and a batch', async () => {
  const lines = `${JSON.stringify({
    custom_id: 'a', method: 'POST', url: '/v1/chat/completions',
    body: { model: 'm', messages: [{ role: 'user', content: question() }] },
  })}\n`;
  const made = await passed.files.create({ file: await toFile(Buffer.from(lines), 'in.jsonl'), purpose: 'batch' });
  assert.equal(made.bytes, lines.length);
  assert.deepEqual((await passed.files.retrieve(made.id)).id, made.id);
  assert.ok((await collect(await passed.files.list())).some((file) => file.id === made.id));
  assert.equal(await (await passed.files.content(made.id)).text(), lines);

  const batch = await passed.batches.create({ input_file_id: made.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  const done = await eventually('the batch is done', async () => {
    const now = await passed.batches.retrieve(batch.id);
    return now.status === 'completed' && now;
  });
  const out = await (await passed.files.content(done.output_file_id)).text();
  assert.equal(JSON.parse(out).custom_id, 'a');

  assert.equal((await passed.files.delete(made.id)).deleted, true);
  await assert.rejects(passed.files.retrieve(made.id), OpenAI.NotFoundError);
});

test('without a provider named, files have no home', async () => {
  await assert.rejects(openai.files.list(), (err) => err instanceof OpenAI.APIError && /x-wedge-provider/.test(err.message));
});

test('the key and what is for Wedge stay here', async () => {
  const content = question();
  await openai.completions.create({ model: 'demo', prompt: content }, { headers: { 'x-wedge-user': 'alice', cookie: 'a=b' } });
  const [request] = await received(content);
  for (const name of Object.keys(request.headers)) {
    assert.ok(!name.startsWith('x-wedge') && !['authorization', 'cookie'].includes(name), name);
  }
});

test('an address that is not there', async () => {
  const lost = client({ baseURL: url.replace(/\/v1$/, '/v2') });
  await assert.rejects(lost.models.list(), (err) => err instanceof OpenAI.NotFoundError && err.code === 'not_found');
});
