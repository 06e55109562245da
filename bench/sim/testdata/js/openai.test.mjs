import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { checkWeather, script, url, weather } from './sim.mjs';

const client = new OpenAI({ apiKey: 'test', baseURL: `${url}/v1`, maxRetries: 0 });

// answer asks on a socket and returns the response that its last event holds.
function answer(socket, body) {
  return new Promise((resolve, reject) => {
    const end = (event) => { if (/^response\.(completed|incomplete|failed)$/.test(event.type)) settle(() => resolve(event.response)); };
    const fail = (error) => settle(() => reject(error));
    const settle = (what) => { socket.off('event', end); socket.off('error', fail); what(); };
    socket.on('event', end);
    socket.on('error', fail);
    socket.send({ type: 'response.create', model: 'gpt-5', ...body });
  });
}

const textOf = (response) => response.output[0].content[0].text;

test('responses on a WebSocket say what a POST says', async () => {
  const socket = new ResponsesWS(client);
  const first = await answer(socket, { store: false, input: 'One' });
  const second = await answer(socket, { store: false, input: 'Two', previous_response_id: first.id });
  const input = [{ role: 'user', content: 'One' }, ...first.output, { role: 'user', content: 'Two' }];
  const posted = await client.responses.create({ model: 'gpt-5', input });
  assert.equal(textOf(second), posted.output_text);
  assert.deepEqual(second.usage, posted.usage);

  const tools = [{ type: 'function', name: 'get_weather', parameters: weather, strict: true }];
  const called = await answer(socket, { tools, input: 'Call get_weather for Paris' });
  checkWeather({ city: 'Paris', ...JSON.parse(called.output[0].arguments) });
  const output = { type: 'function_call_output', call_id: called.output[0].call_id, output: 'rain' };
  assert.ok(textOf(await answer(socket, { tools, input: [output], previous_response_id: called.id })));

  await script({ fail: '429', method: 'WS' });
  await assert.rejects(answer(socket, { input: 'x' }), /Rate limit/);
  await assert.rejects(answer(socket, { input: 'x', previous_response_id: 'resp_0' }), /resp_0/);
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.close();
  await closed;
});

// converse opens a Realtime session. The SDK insists on wss:, so the socket below its TLS is made here, without any.
async function converse(t) {
  const socket = new OpenAIRealtimeWS({ model: 'gpt-realtime', options: { createConnection: ({ host, port }) => net.connect(port, host) } }, client);
  t.after(() => socket.close());
  const heard = [];
  socket.on('event', (event) => heard.push(event));
  const until = (type) => new Promise((resolve, reject) => { socket.once(type, resolve); socket.once('error', reject); });
  await until('session.created');
  return { socket, heard, until };
}

test('a Realtime session says what a POST says', async (t) => {
  const { socket, heard, until } = await converse(t);
  const say = (text) => {
    socket.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] } });
    socket.send({ type: 'response.create' });
    return until('response.done');
  };
  const tools = [{ type: 'function', name: 'get_weather', parameters: weather }];
  socket.send({ type: 'session.update', session: { type: 'realtime', output_modalities: ['text'], tools } });
  const { response } = await say('One');
  const posted = await client.responses.create({ model: 'gpt-realtime', input: 'One', tools });
  assert.equal(textOf(response), posted.output_text);
  assert.equal(response.usage.input_tokens, posted.usage.input_tokens);
  assert.equal(response.usage.output_tokens, posted.usage.output_tokens);
  assert.equal(heard.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta).join(''), posted.output_text);
  const { response: called } = await say('Call get_weather for Paris');
  checkWeather(JSON.parse(called.output[0].arguments));

  await script({ fail: '429', method: 'WS' });
  const { response: failed } = await say('Two');
  assert.equal(failed.status_details.error.code, 'rate_limit_exceeded');
  const refused = until('response.done');
  socket.send({ type: 'conversation.item.delete', item_id: 'item_0' });
  await assert.rejects(refused, /item_0/);
  const closed = new Promise((resolve) => socket.socket.on('close', resolve));
  socket.close();
  assert.equal(await closed, 1000);
});

test('a Realtime session hears when a turn is over, and speaks', async (t) => {
  const { socket, heard, until } = await converse(t);
  for (const sample of [16, 0]) {
    socket.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(48 * 500, sample).toString('base64') });
  }
  const { response } = await until('response.done');
  const { usage } = response;
  assert.equal(usage.input_token_details.audio_tokens, 7);
  assert.equal(usage.output_token_details.audio_tokens, 2 * usage.output_token_details.text_tokens);
  const sound = heard.filter(({ type }) => type === 'response.output_audio.delta').map(({ delta }) => Buffer.from(delta, 'base64').length);
  assert.equal(sound.reduce((a, b) => a + b), 4800 * usage.output_token_details.text_tokens);
  assert.ok(response.output[0].content[0].transcript);
});
