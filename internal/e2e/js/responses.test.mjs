import OpenAI from 'openai';
import assert from 'node:assert/strict';
import test from 'node:test';

import { checkWeather, client, collect, question, weather } from './wedge.mjs';

const openai = client();

// types are the types of events in order, repeats left out.
const types = (events) => events.map((event) => event.type).filter((type, i, all) => type !== all[i - 1]);

const text = [
  'response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added',
  'response.output_text.delta', 'response.output_text.done', 'response.content_part.done',
  'response.output_item.done', 'response.completed',
];
const call = [
  'response.created', 'response.in_progress', 'response.output_item.added', 'response.function_call_arguments.delta',
  'response.function_call_arguments.done', 'response.output_item.done', 'response.completed',
];

function checkOrder(events, want) {
  assert.deepEqual(types(events), want);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, i) => i));
}

test('a whole response', async () => {
  const response = await openai.responses.create({ model: 'demo', instructions: 'Be brief.', input: question() });
  assert.equal(response.object, 'response');
  assert.equal(response.status, 'completed');
  assert.match(response.output_text, /Why do edges matter/);
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
  assert.ok(response._request_id);
});

test('a streamed response, from the provider and from the store', async () => {
  const params = { model: 'demo', input: question(), store: false };
  let first;
  for (const from of ['miss', 'hit-memory']) {
    const { data, response } = await openai.responses.create({ ...params, stream: true }).withResponse();
    assert.equal(response.headers.get('x-wedge-cache'), from);
    const events = await collect(data);
    checkOrder(events, text);
    const final = events.at(-1).response;
    const deltas = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta).join('');
    assert.equal(deltas, final.output[0].content[0].text);
    assert.ok(final.usage.total_tokens > 0);
    first ??= final;
    assert.deepEqual([deltas, final.usage], [first.output[0].content[0].text, first.usage]);
  }
  const { data, response } = await openai.responses.create(params).withResponse();
  assert.equal(response.headers.get('x-wedge-cache'), 'hit-memory');
  assert.equal(data.output_text, first.output[0].content[0].text);
  assert.deepEqual(data.usage, first.usage);
});

test('function calls, whole and streamed', async () => {
  const params = {
    model: 'demo',
    store: false,
    input: question('get_weather for the city of Paris'),
    tools: [{ type: 'function', name: 'get_weather', parameters: weather, strict: true }],
  };
  const whole = await openai.responses.create(params);
  assert.equal(whole.output.length, 1);
  assert.equal(whole.output[0].type, 'function_call');
  assert.equal(whole.output[0].name, 'get_weather');
  checkWeather(whole.output[0].arguments);
  for (const headers of [{}, { 'x-wedge-cache': 'no-cache' }]) {
    const events = await collect(await openai.responses.create({ ...params, stream: true }, { headers }));
    checkOrder(events, call);
    const deltas = events.filter((event) => event.type === 'response.function_call_arguments.delta');
    assert.equal(deltas.map((event) => event.delta).join(''), whole.output[0].arguments);
    assert.equal(events.at(-1).response.output[0].call_id, whole.output[0].call_id);
  }
  const [made] = whole.output;
  const after = await openai.responses.create({
    ...params,
    input: [
      { role: 'user', content: params.input }, made,
      { type: 'function_call_output', call_id: made.call_id, output: 'sunny' },
    ],
  });
  assert.ok(after.output_text);
});

test('the stream helper', async () => {
  const stream = openai.responses.stream({ model: 'demo', input: question() });
  let deltas = '';
  stream.on('response.output_text.delta', (event) => { deltas += event.delta; });
  const final = await stream.finalResponse();
  assert.equal(final.status, 'completed');
  assert.equal(final.output_text, deltas);
});

test('an answer in the form of a schema', async () => {
  const response = await openai.responses.parse({
    model: 'demo',
    input: question('The weather in Paris'),
    text: { format: { type: 'json_schema', name: 'weather', strict: true, schema: weather } },
  });
  checkWeather(response.output_text);
});

test('a response that ends early is incomplete', async () => {
  const params = { model: 'demo', input: question('Tell me all'), max_output_tokens: 16 };
  const whole = await openai.responses.create(params);
  assert.equal(whole.status, 'incomplete');
  assert.equal(whole.incomplete_details.reason, 'max_output_tokens');
  const events = await collect(await openai.responses.create({ ...params, stream: true }));
  assert.equal(events.at(-1).type, 'response.incomplete');
});

for (const stream of [false, true]) {
  test(`a conversation goes on from one's own ${stream ? 'streamed' : 'whole'} response`, async () => {
    let first = await openai.responses.create({ model: 'demo', input: question(), stream });
    if (stream) first = (await collect(first)).at(-1).response;
    const next = await openai.responses.create({ model: 'demo', input: question('And now?'), previous_response_id: first.id });
    assert.equal(next.previous_response_id, first.id);
    assert.match(next.output_text, /And now/);
  });
}

test('no conversation goes on from an unknown response', async () => {
  await assert.rejects(
    openai.responses.create({ model: 'demo', input: question(), previous_response_id: 'resp_of_nobody' }),
    (err) => err instanceof OpenAI.NotFoundError && err.code === 'not_found' && /resp_of_nobody/.test(err.message));
});

test('nobody fetches a response of somebody else', async () => {
  const passed = client({ defaultHeaders: { 'x-wedge-provider': 'sim' } });
  await assert.rejects(passed.responses.retrieve('resp_of_nobody'), OpenAI.NotFoundError);
});
