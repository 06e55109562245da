import assert from 'node:assert/strict';
import test from 'node:test';

import { client, collect, question, received, said, user } from './wedge.mjs';

const openai = client();

async function ask(params, headers) {
  const { data, response, request_id: id } = await openai.chat.completions.create(params, { headers }).withResponse();
  const answer = params.stream ? said(await collect(data)) : data.choices.map((choice) => choice.message.content);
  return { answer, from: response.headers.get('x-wedge-cache'), headers: response.headers, id };
}

for (const [first, second] of [[false, false], [false, true], [true, false], [true, true]]) {
  const kind = (stream) => (stream ? 'streamed' : 'whole');
  test(`a ${kind(first)} answer is the next ${kind(second)} one`, async () => {
    const content = question();
    const miss = await ask({ model: 'demo', messages: user(content), stream: first });
    const hit = await ask({ model: 'demo', messages: user(content), stream: second });
    assert.deepEqual([miss.from, hit.from], ['miss', 'hit-memory']);
    assert.deepEqual(hit.answer, miss.answer);
    assert.notEqual(hit.id, miss.id);
    assert.equal(hit.headers.get('x-wedge-version'), miss.headers.get('x-wedge-version'));
    assert.ok(Number(hit.headers.get('age')) >= 0);
    assert.equal((await received(content)).length, 1);
  });
}

test('equal questions at once cost one call', async () => {
  const params = { model: 'demo', messages: user(question()) };
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => ask({ ...params, stream: i % 2 === 0 })));
  for (const { answer } of answers) assert.deepEqual(answer, answers[0].answer);
  assert.equal((await received(params.messages[0].content)).length, 1);
});

test('an application can pass the store by', async () => {
  const params = { model: 'demo', messages: user(question()) };
  await ask(params);
  assert.notEqual((await ask(params, { 'x-wedge-cache': 'no-cache' })).from, 'hit-memory');
  assert.equal((await ask(params)).from, 'hit-memory');
});

test('the answer names version, arm and target', async () => {
  const { headers } = await ask({ model: 'demo', messages: user(question()), user: 'alice' });
  assert.match(headers.get('x-wedge-version'), /^1\.[01]\.0$/);
  assert.match(headers.get('x-wedge-experiment'), /^small-or-large=(small|large)$/);
  assert.match(headers.get('x-wedge-target'), /^sim/);
});

test('an application can choose arm and version', async () => {
  for (const [arm, version] of [['small', '1.0.0'], ['large', '1.1.0']]) {
    const { headers } = await ask({ model: 'demo', messages: user(question()) }, { 'x-wedge-arm': arm });
    assert.equal(headers.get('x-wedge-version'), version);
    const pinned = await ask({ model: `demo@${version}`, messages: user(question()) });
    assert.equal(pinned.headers.get('x-wedge-version'), version);
  }
});
