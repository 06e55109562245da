import assert from 'node:assert/strict';
import test from 'node:test';

import { checkWeather, client, collect, question, received, said, url, user, weather } from './wedge.mjs';

const openai = client();
const tool = (name) => ({ type: 'function', function: { name, parameters: weather, strict: true } });

test('a whole answer', async () => {
  const content = question();
  const answer = await openai.chat.completions.create({ model: 'demo', messages: user(content) });
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices.length, 1);
  assert.match(answer.choices[0].message.content, /Why do edges matter/);
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok(answer._request_id);
});

test('a streamed answer says what the whole one says', async () => {
  const params = { model: 'sim/no-cache', messages: user(question()) };
  const whole = await openai.chat.completions.create(params);
  const chunks = await collect(await openai.chat.completions.create({ ...params, stream: true }));
  assert.ok(chunks.length > 3, `${chunks.length} chunks`);
  assert.deepEqual(said(chunks), [whole.choices[0].message.content]);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  for (const chunk of chunks) assert.equal(chunk.object, 'chat.completion.chunk');
});

test('include_usage brings usage once, at the end, from the provider and from the store', async () => {
  const params = { model: 'demo', messages: user(question()) };
  const streamed = { ...params, stream: true, stream_options: { include_usage: true } };
  const answers = [];
  for (const from of ['miss', 'hit-memory']) {
    const { data, response } = await openai.chat.completions.create(streamed).withResponse();
    assert.equal(response.headers.get('x-wedge-cache'), from);
    const chunks = await collect(data);
    assert.equal(chunks.filter((chunk) => chunk.usage).length, 1, from);
    assert.deepEqual(chunks.at(-1).choices, []);
    answers.push([said(chunks), chunks.at(-1).usage]);
  }
  assert.deepEqual(answers[1], answers[0]);
  const whole = await openai.chat.completions.create(params);
  assert.deepEqual(whole.usage, answers[0][1]);
});

for (const model of ['demo', 'sim/no-usage']) {
  test(`without include_usage no chunk of ${model} is for usage alone`, async () => {
    const params = { model, messages: user(question()), stream: true };
    for (let i = 0; i < 2; i++) {
      for (const chunk of await collect(await openai.chat.completions.create(params))) {
        assert.equal(chunk.choices.length, 1);
        assert.ok(!chunk.usage);
      }
    }
  });
}

test('tools, whole and streamed', async () => {
  const params = {
    model: 'demo',
    messages: user(question('Call get_weather and get_tides for the city of Paris')),
    tools: [tool('get_weather'), tool('get_news'), tool('get_tides')],
  };
  const whole = await openai.chat.completions.create(params);
  const [choice] = whole.choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.deepEqual(choice.message.tool_calls.map((call) => call.function.name), ['get_weather', 'get_tides']);
  for (const call of choice.message.tool_calls) checkWeather(call.function.arguments);

  const fresh = { headers: { 'x-wedge-cache': 'no-cache' } };
  for (const options of [undefined, fresh]) {
    const calls = [];
    let finish;
    for await (const chunk of await openai.chat.completions.create({ ...params, stream: true }, options)) {
      finish = chunk.choices[0].finish_reason ?? finish;
      for (const part of chunk.choices[0].delta.tool_calls ?? []) {
        calls[part.index] ??= { id: '', name: '', args: '' };
        calls[part.index].id += part.id ?? '';
        calls[part.index].name += part.function.name ?? '';
        calls[part.index].args += part.function.arguments ?? '';
      }
    }
    assert.equal(finish, 'tool_calls');
    assert.deepEqual(calls, choice.message.tool_calls.map((call) => (
      { id: call.id, name: call.function.name, args: call.function.arguments })));
  }

  const results = choice.message.tool_calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: 'fine' }));
  const after = await openai.chat.completions.create({ ...params, messages: [...params.messages, choice.message, ...results] });
  assert.equal(after.choices[0].finish_reason, 'stop');
  assert.ok(after.choices[0].message.content);
});

test('two choices', async () => {
  const params = { model: 'demo', messages: user(question()), n: 2 };
  const whole = await openai.chat.completions.create(params);
  const texts = whole.choices.map((choice) => choice.message.content);
  assert.equal(texts.length, 2);
  assert.notEqual(texts[0], texts[1]);
  for (const headers of [{}, { 'x-wedge-cache': 'no-cache' }]) {
    const chunks = await collect(await openai.chat.completions.create({ ...params, stream: true }, { headers }));
    assert.deepEqual(said(chunks), texts);
  }
});

test('an answer in the form of a schema', async () => {
  const answer = await openai.chat.completions.parse({
    model: 'demo',
    messages: user(question('The weather in Paris')),
    response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: weather } },
  });
  checkWeather(answer.choices[0].message.content);
});

for (const [what, more] of [
  ['text', {}],
  ['tools', { tools: [tool('get_weather')], tool_choice: 'required' }],
  ['a schema', { response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: weather } } }],
]) {
  test(`the stream helper, ${what}, from the provider and from the store`, async () => {
    const params = { model: 'demo', messages: user(question('The weather in Paris')), ...more };
    const finals = [];
    for (let i = 0; i < 2; i++) {
      const stream = openai.chat.completions.stream({ ...params, stream_options: { include_usage: true } });
      let deltas = '';
      stream.on('content.delta', ({ delta }) => { deltas += delta; });
      const final = await stream.finalChatCompletion();
      assert.equal(deltas, final.choices[0].message.content ?? '');
      assert.ok(final.usage.total_tokens > 0);
      finals.push(final);
    }
    if (more.tools) checkWeather(finals[0].choices[0].message.tool_calls[0].function.arguments);
    if (more.response_format) checkWeather(finals[0].choices[0].message.content);
    assert.deepEqual(finals[1], finals[0]);
    const whole = await openai.chat.completions.create(params);
    assert.equal(whole.choices[0].message.content ?? null, finals[0].choices[0].message.content ?? null);
    assert.equal(whole.choices[0].finish_reason, finals[0].choices[0].finish_reason);
  });
}

test('a slow stream arrives as it is made', async () => {
  const start = Date.now();
  const times = [];
  const stream = await openai.chat.completions.create({
    model: 'sim/slow;ttft=50ms;tps=40;tokens=20', messages: user(question()), stream: true,
  });
  for await (const chunk of stream) times.push(chunk.choices.length > 0 && Date.now() - start);
  assert.ok(times.at(-1) - times[0] > 250, `first after ${times[0]} ms, last after ${times.at(-1)} ms`);
});

test('fields that no one knows reach the provider', async () => {
  const content = question();
  await openai.chat.completions.create({ model: 'demo', messages: user(content), x_future: { a: [1, null] } });
  const [request] = await received(content);
  assert.deepEqual(JSON.parse(request.body).x_future, { a: [1, null] });
});

test('a base URL with and without a slash at its end', async () => {
  const params = { model: 'demo', messages: user(question()) };
  for (const [baseURL, from] of [[url, 'miss'], [`${url}/`, 'hit-memory']]) {
    const { response } = await client({ baseURL }).chat.completions.create(params).withResponse();
    assert.equal(response.headers.get('x-wedge-cache'), from);
  }
});
