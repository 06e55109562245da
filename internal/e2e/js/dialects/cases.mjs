// The cases that every SDK goes through with every target. An SDK is described by
//   name
//   whole(model, ask), stream(model, ask, pieces): { text, calls: [{ name, args }], finish, usage: { in, out }, turn }
//     of ask: { prompt, picture, tools, turn, results, stop, max, schema, thinks }; a stream adds to the pieces of text
//   refused(error, status): checks that an error is the SDK's own for a status
//   as(key): the SDK with another key
//   embed(model, texts), count(model, prompt), list(): optional
//   lacks: what the SDK cannot ask for
import assert from 'node:assert/strict';
import test from 'node:test';

import { checkWeather, image, models, told, weather, wrongKey } from './shared.mjs';

const plain = { prompt: 'Why do edges matter?' };
const calling = { prompt: 'Call get_weather and get_tides for the city of Paris', tools: ['get_weather', 'get_news', 'get_tides'] };

export function cases(sdk) {
  for (const model of models) {
    const it = (what, run) => {
      if (!(sdk.lacks ?? []).includes(what)) test(`${sdk.name}, ${model}: ${what}`, run);
    };
    it('text', () => same(sdk, model, plain));
    it('image', () => same(sdk, model, { prompt: 'What is this?', picture: image }));
    it('length', () => same(sdk, model, { ...plain, max: 7 }, 'length'));
    it('stop', async () => {
      const stop = (await told(plain)).split(' ')[11];
      const said = await same(sdk, model, { ...plain, stop: [stop] });
      assert.ok(!said.text.includes(stop), said.text);
    });
    it('schema', async () => {
      const said = await agree(sdk, model, { prompt: 'The weather in Paris', schema: weather });
      checkWeather(JSON.parse(said.text));
    });
    it('tools', () => callTools(sdk, model, calling));
    it('thinking', () => callTools(sdk, model, { ...calling, thinks: true }));
    it('errors', () => refuse(sdk, model));
    it('broken', () => breakOff(sdk, `${model}-fails`));
    if (sdk.embed) it('embeddings', () => embed(sdk, model));
    if (sdk.count) it('count', () => count(sdk, model));
  }
  if (sdk.list) {
    test(`${sdk.name}: the list of models`, async () => {
      const names = await sdk.list();
      for (const model of models) assert.ok(names.includes(model), names);
    });
  }
}

// agree asks whole and streamed, checks that both answers say the same, and returns the whole one.
async function agree(sdk, model, ask) {
  const whole = await sdk.whole(model, ask);
  const pieces = [];
  const streamed = await sdk.stream(model, ask, pieces);
  for (const part of ['text', 'calls', 'finish', 'usage']) assert.deepEqual(streamed[part], whole[part], part);
  assert.ok(whole.usage.in > 0 && whole.usage.out > 0, JSON.stringify(whole.usage));
  return { ...whole, streamedTurn: streamed.turn, pieces };
}

// same checks that the answer to a question is what the provider says to it in its own dialect.
async function same(sdk, model, ask, finish = 'stop') {
  const said = await agree(sdk, model, ask);
  assert.equal(said.text, await told(ask));
  assert.equal(said.finish, finish);
  assert.deepEqual(said.calls, []);
  assert.ok(said.pieces.length >= 3, `${said.pieces}`);
  return said;
}

// callTools has two tools called at once and tells their results, to the whole and to the streamed call.
async function callTools(sdk, model, ask) {
  const said = await agree(sdk, model, ask);
  assert.equal(said.finish, 'calls');
  assert.deepEqual(said.calls.map(({ name }) => name), ['get_weather', 'get_tides']);
  for (const { args } of said.calls) checkWeather(args);
  const finals = [];
  for (const turn of [said.turn, said.streamedTurn]) {
    const final = await agree(sdk, model, { ...ask, turn, results: ['rain', 'high'] });
    assert.equal(final.finish, 'stop');
    assert.deepEqual(final.calls, []);
    assert.ok(final.text);
    finals.push(final.text);
  }
  assert.equal(finals[1], finals[0]);
}

// refuse checks the exceptions of the SDK.
async function refuse(sdk, model) {
  const stranger = sdk.as(wrongKey);
  for (const [client, asked, status] of [[sdk, 'no-such-model', 404], [stranger, model, 401]]) {
    for (const how of ['whole', 'stream']) {
      await assert.rejects(client[how](asked, plain), (err) => {
        sdk.refused(err, status);
        return true;
      });
    }
  }
}

// breakOff checks that no SDK takes an answer that broke off for a good one.
async function breakOff(sdk, model) {
  const pieces = [];
  let said;
  let error;
  try {
    said = await sdk.stream(model, plain, pieces);
  } catch (err) {
    error = err;
  }
  assert.ok(pieces.length > 0, `it has not begun: ${error}`);
  assert.ok(error, `it is taken for good, with finish ${said?.finish}: ${said?.text}`);
}

const withoutVectors = 'to-anthropic';

async function embed(sdk, model) {
  const texts = ['Edges', 'matter', ''.padEnd(300, 'word ')];
  if (model === withoutVectors) {
    await assert.rejects(sdk.embed(model, texts), (err) => {
      sdk.refused(err, 400);
      return true;
    });
    return;
  }
  const vectors = await sdk.embed(model, texts);
  assert.equal(vectors.length, texts.length);
  for (const vector of vectors) assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-3, `${vector.length} numbers`);
  assert.notDeepEqual(vectors[0], vectors[1]);
  assert.deepEqual((await sdk.embed(model, [texts[1]]))[0], vectors[1]);
}

async function count(sdk, model) {
  const few = await sdk.count(model, 'Why do edges matter?');
  const many = await sdk.count(model, 'Why do edges matter? '.repeat(100));
  assert.ok(few >= 4 && few <= 40, `${few} tokens`);
  assert.ok(many >= 300 && many <= 1500, `${many} tokens`);
}
