// OpenAI's SDK: chat completions and responses.
import OpenAI from 'openai';
import assert from 'node:assert/strict';

import { cases } from './cases.mjs';
import { collect, key, system, url, weather } from './shared.mjs';

const client = (apiKey) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });

function refused(err, status) {
  const type = { 400: OpenAI.BadRequestError, 401: OpenAI.AuthenticationError, 404: OpenAI.NotFoundError }[status];
  assert.ok(err instanceof type, `${err?.constructor?.name}: ${err}`);
  assert.equal(err.status, status);
  assert.ok(err.code && err.type && err.error.message && err.requestID);
}

const picture = (data) => `data:image/png;base64,${data}`;

function chatBody(model, ask) {
  const content = ask.picture
    ? [{ type: 'text', text: ask.prompt }, { type: 'image_url', image_url: { url: picture(ask.picture) } }]
    : ask.prompt;
  const messages = [{ role: 'system', content: system }, { role: 'user', content }];
  if (ask.turn) {
    messages.push(ask.turn, ...ask.turn.tool_calls.map((call, i) => (
      { role: 'tool', tool_call_id: call.id, content: ask.results[i] })));
  }
  return {
    model,
    messages,
    stop: ask.stop,
    max_completion_tokens: ask.max,
    tools: ask.tools?.map((name) => ({ type: 'function', function: { name, description: `Do ${name}`, parameters: weather } })),
    response_format: ask.schema && { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: ask.schema } },
    reasoning_effort: ask.thinks && 'high',
  };
}

function readChat({ choices: [{ message, finish_reason: finish }], usage }) {
  return {
    text: message.content ?? '',
    calls: (message.tool_calls ?? []).map((call) => ({ name: call.function.name, args: JSON.parse(call.function.arguments) })),
    finish: finish === 'tool_calls' ? 'calls' : finish,
    usage: { in: usage.prompt_tokens, out: usage.completion_tokens },
    turn: message,
  };
}

const chat = (apiKey) => ({
  name: 'openai chat',
  as: chat,
  refused,
  async whole(model, ask) {
    const answer = await client(apiKey).chat.completions.create(chatBody(model, ask));
    assert.equal(answer.object, 'chat.completion');
    return readChat(answer);
  },
  async stream(model, ask, pieces = []) {
    const stream = client(apiKey).chat.completions.stream({ ...chatBody(model, ask), stream_options: { include_usage: true } });
    stream.on('content.delta', ({ delta }) => pieces.push(delta));
    const said = readChat(await stream.finalChatCompletion());
    assert.equal(pieces.join(''), said.text);
    return said;
  },
  async embed(model, input) {
    const { data } = await client(apiKey).embeddings.create({ model, input });
    return data.map(({ embedding }) => embedding);
  },
  async list() {
    return (await collect(client(apiKey).models.list())).map(({ id }) => id);
  },
});

function responseBody(model, ask) {
  const content = [{ type: 'input_text', text: ask.prompt }];
  if (ask.picture) content.push({ type: 'input_image', image_url: picture(ask.picture), detail: 'auto' });
  const input = [{ role: 'user', content: ask.picture ? content : ask.prompt }];
  if (ask.turn) {
    const calls = ask.turn.filter(({ type }) => type === 'function_call');
    input.push(...ask.turn, ...calls.map((call, i) => (
      { type: 'function_call_output', call_id: call.call_id, output: ask.results[i] })));
  }
  return {
    model,
    instructions: system,
    input,
    store: false,
    max_output_tokens: ask.max,
    tools: ask.tools?.map((name) => ({ type: 'function', name, description: `Do ${name}`, parameters: weather, strict: true })),
    text: ask.schema && { format: { type: 'json_schema', name: 'weather', strict: true, schema: ask.schema } },
    reasoning: ask.thinks && { effort: 'high' },
  };
}

function readResponse(response) {
  const calls = response.output.filter(({ type }) => type === 'function_call');
  const length = response.status === 'incomplete' && response.incomplete_details.reason === 'max_output_tokens';
  if (!length) assert.equal(response.status, 'completed');
  return {
    text: response.output_text,
    calls: calls.map(({ name, arguments: args }) => ({ name, args: JSON.parse(args) })),
    finish: length ? 'length' : calls.length > 0 ? 'calls' : 'stop',
    usage: { in: response.usage.input_tokens, out: response.usage.output_tokens },
    turn: response.output,
  };
}

const responses = (apiKey) => ({
  name: 'openai responses',
  as: responses,
  refused,
  lacks: ['stop'],
  async whole(model, ask) {
    return readResponse(await client(apiKey).responses.create(responseBody(model, ask)));
  },
  async stream(model, ask, pieces = []) {
    const stream = client(apiKey).responses.stream(responseBody(model, ask));
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') pieces.push(event.delta);
    }
    const final = await stream.finalResponse();
    if (final.status === 'failed') throw Object.assign(new Error(final.error.message), final.error);
    const said = readResponse(final);
    assert.equal(pieces.join(''), said.text);
    return { ...said, turn: final.output.map(({ parsed_arguments, ...item }) => item) };
  },
});

cases(chat(key));
cases(responses(key));
