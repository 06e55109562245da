import Anthropic from '@anthropic-ai/sdk';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWeather, image, received, script, url, weather } from './sim.mjs';

const client = (options) => new Anthropic({ baseURL: url, apiKey: 'test', maxRetries: 0, ...options });
const ask = (text, more) => ({ model: 'claude-sonnet-5-5', max_tokens: 1500, messages: [{ role: 'user', content: text }], ...more });

for (const [name, more] of Object.entries({
  text: {},
  bounded: { max_tokens: 3 },
  thinking: { thinking: { type: 'adaptive' } },
  schema: { output_config: { format: { type: 'json_schema', schema: weather } } },
  tools: { tools: ['get_weather', 'get_tides'].map((tool) => ({ name: tool, input_schema: weather })) },
})) {
  test(`a streamed message says what the whole one says: ${name}`, async () => {
    const params = ask(`Call get_weather and get_tides for Paris: ${name}`, more);
    const whole = await client().messages.create(params);
    const streamed = await client().messages.stream(params).finalMessage();
    assert.deepEqual(streamed.content, whole.content);
    assert.equal(streamed.stop_reason, whole.stop_reason);
    assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens);
    if (name !== 'tools') return;
    assert.equal(whole.stop_reason, 'tool_use');
    checkWeather(whole.content[0].input);
    params.messages.push({ role: 'assistant', content: whole.content }, {
      role: 'user',
      content: whole.content.map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: 'rain' })),
    });
    assert.equal((await client().messages.create(params)).stop_reason, 'end_turn');
  });
}

test('images cost input, and tokens are counted as they are charged', async () => {
  const messages = [{
    role: 'user',
    content: [{ type: 'text', text: 'What is this?' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: image } }],
  }];
  const { usage } = await client().messages.create(ask('', { messages }));
  const { input_tokens } = await client().messages.countTokens({ model: 'm', messages });
  assert.equal(usage.input_tokens, input_tokens);
  assert.ok(input_tokens > 80);
});

test('failures become the exceptions of the SDK', async () => {
  for (const [fail, type, status] of [
    ['429', Anthropic.RateLimitError, 429], ['401', Anthropic.AuthenticationError, 401],
    ['500', Anthropic.InternalServerError, 500], ['overloaded', Anthropic.InternalServerError, 529],
  ]) {
    await assert.rejects(client().messages.create(ask('Hello', { model: `m;fail=${fail}` })), (err) => {
      assert.ok(err instanceof type, `${fail}: ${err}`);
      assert.equal(err.status, status);
      assert.equal(err.error.type, 'error');
      assert.match(err.requestID, /^req_/);
      return true;
    });
  }
  await assert.rejects(client().messages.create(ask('Hello', { model: 'missing-model' })), Anthropic.NotFoundError);
  await assert.rejects(client().messages.create(ask('Hello', { temperature: 1 })), Anthropic.BadRequestError);
  await assert.rejects(client().messages.create(ask('Hello', { model: 'm;fail=refused' })), Anthropic.APIConnectionError);
  await assert.rejects(client().messages.stream(ask('Hello', { model: 'm;fail=error-mid' })).finalMessage(), /overloaded_error/);
  await assert.rejects(client().messages.stream(ask('Hello', { model: 'm;fail=cut' })).finalMessage());
});

test('what can be retried is', async () => {
  await script({ fail: '429', set: 'retry_after=0s', model: 'retried' }, { fail: 'overloaded', model: 'retried' });
  await client({ maxRetries: 2 }).messages.create(ask('Hello', { model: 'retried' }));
  assert.deepEqual((await received('"retried"')).map(({ status }) => status), [429, 529, 200]);
});

test('models are listed', async () => {
  const names = [];
  for await (const model of client().models.list()) names.push(model.id);
  assert.ok(names.includes('sim-small'));
});
