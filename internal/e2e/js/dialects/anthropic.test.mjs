// Anthropic's SDK.
import Anthropic from '@anthropic-ai/sdk';
import assert from 'node:assert/strict';

import { cases } from './cases.mjs';
import { collect, key, system, url, weather } from './shared.mjs';

const client = (apiKey) => new Anthropic({ baseURL: url, apiKey, maxRetries: 0 });

function body(model, ask) {
  const content = [{ type: 'text', text: ask.prompt }];
  if (ask.picture) content.push({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: ask.picture } });
  const messages = [{ role: 'user', content }];
  if (ask.turn) {
    const calls = ask.turn.filter(({ type }) => type === 'tool_use');
    messages.push({ role: 'assistant', content: ask.turn }, {
      role: 'user',
      content: calls.map(({ id }, i) => ({ type: 'tool_result', tool_use_id: id, content: ask.results[i] })),
    });
  }
  return {
    model,
    system,
    messages,
    max_tokens: ask.max ?? 4000,
    stop_sequences: ask.stop,
    tools: ask.tools?.map((name) => ({ name, description: `Do ${name}`, input_schema: weather })),
    output_config: ask.schema && { format: { type: 'json_schema', schema: ask.schema } },
    thinking: ask.thinks && { type: 'adaptive' },
  };
}

const finishes = { end_turn: 'stop', stop_sequence: 'stop', max_tokens: 'length', tool_use: 'calls' };

function read(message) {
  assert.equal(message.type, 'message');
  assert.equal(message.role, 'assistant');
  return {
    text: message.content.map(({ text }) => text ?? '').join(''),
    calls: message.content.filter(({ type }) => type === 'tool_use').map(({ name, input }) => ({ name, args: input })),
    finish: finishes[message.stop_reason],
    usage: { in: message.usage.input_tokens, out: message.usage.output_tokens },
    turn: message.content,
  };
}

const messages = (apiKey) => ({
  name: 'anthropic',
  as: messages,
  async whole(model, ask) {
    return read(await client(apiKey).messages.create(body(model, ask)));
  },
  async stream(model, ask, pieces = []) {
    const stream = client(apiKey).messages.stream(body(model, ask));
    stream.on('text', (delta) => pieces.push(delta));
    const said = read(await stream.finalMessage());
    assert.equal(pieces.join(''), said.text);
    return said;
  },
  refused(err, status) {
    const type = { 400: Anthropic.BadRequestError, 401: Anthropic.AuthenticationError, 404: Anthropic.NotFoundError }[status];
    assert.ok(err instanceof type, `${err?.constructor?.name}: ${err}`);
    assert.equal(err.error.type, 'error');
    assert.ok(err.error.error.type && err.error.error.message && err.requestID);
  },
  async count(model, prompt) {
    const { input_tokens: tokens } = await client(apiKey).messages.countTokens({
      model, messages: [{ role: 'user', content: prompt }],
    });
    return tokens;
  },
  async list() {
    return (await collect(client(apiKey).models.list())).map(({ id }) => id);
  },
});

cases(messages(key));
