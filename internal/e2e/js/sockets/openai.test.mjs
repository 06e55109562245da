// The official SDK's WebSockets against a node that speaks TLS, whatever dialect the models' providers speak.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { ResponsesWS } from 'openai/resources/responses/ws';

const { WEDGE_URL: baseURL, WEDGE_KEY: apiKey, WEDGE_MODELS: models } = process.env;
const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 });

// answer asks on a socket and returns the response that its last event holds.
function answer(socket, body) {
  return new Promise((resolve, reject) => {
    const end = (event) => { if (/^response\.(completed|incomplete|failed)$/.test(event.type)) settle(() => resolve(event.response)); };
    const fail = (error) => settle(() => reject(error));
    const settle = (what) => { socket.off('event', end); socket.off('error', fail); what(); };
    socket.on('event', end);
    socket.on('error', fail);
    socket.send({ type: 'response.create', ...body });
  });
}

const textOf = (response) => response.output.findLast(({ type }) => type === 'message').content[0].text;

for (const model of models.split(',')) {
  test(`a conversation with ${model} on a WebSocket says what POSTs say`, async () => {
    const socket = new ResponsesWS(client);
    const first = await answer(socket, { model, store: false, input: 'One' });
    const second = await answer(socket, { model, store: false, input: 'Two', previous_response_id: first.id });
    const said = [{ role: 'user', content: 'One' }, { role: 'assistant', content: textOf(first) }, { role: 'user', content: 'Two' }];
    const posted = await client.responses.create({ model, store: false, input: said });
    assert.equal(textOf(second), posted.output_text);
    await assert.rejects(answer(socket, { model: 'nobody', input: 'x' }), /nobody/);
    await assert.rejects(answer(socket, { model, input: 'x', previous_response_id: 'resp_0' }), /resp_0/);
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.close();
    await closed;
  });
}

// converse opens a Realtime session.
async function converse(t, model) {
  const socket = new OpenAIRealtimeWS({ model }, client);
  t.after(() => socket.close());
  const heard = [];
  socket.on('event', (event) => heard.push(event));
  const until = (type) => new Promise((resolve, reject) => { socket.once(type, resolve); socket.once('error', reject); });
  await until('session.created');
  return { socket, heard, until };
}

test('a Realtime session says what a POST says', async (t) => {
  const { socket, heard, until } = await converse(t, 'to-openai');
  socket.send({ type: 'session.update', session: { type: 'realtime', output_modalities: ['text'] } });
  await until('session.updated');
  socket.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'One' }] } });
  socket.send({ type: 'response.create' });
  const { response } = await until('response.done');
  const posted = await client.responses.create({ model: 'to-openai', input: 'One' });
  assert.equal(textOf(response), posted.output_text);
  assert.equal(heard.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta).join(''), posted.output_text);
  const refused = until('response.done');
  socket.send({ type: 'conversation.item.delete', item_id: 'item_0' });
  await assert.rejects(refused, /item_0/);
});

test('a Realtime session hears when a turn is over, and speaks', async (t) => {
  const { socket, heard, until } = await converse(t, 'to-openai');
  for (const sample of [16, 0]) {
    socket.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(48 * 500, sample).toString('base64') });
  }
  const { response } = await until('response.done');
  const sound = heard.filter(({ type }) => type === 'response.output_audio.delta').map(({ delta }) => Buffer.from(delta, 'base64').length);
  assert.equal(sound.reduce((a, b) => a + b), 4800 * response.usage.output_token_details.text_tokens);
  assert.ok(response.output[0].content[0].transcript);
});

test('a Realtime session with a model that has none is refused', async () => {
  const socket = new OpenAIRealtimeWS({ model: 'to-anthropic' }, client);
  await assert.rejects(new Promise((resolve, reject) => { socket.once('session.created', resolve); socket.once('error', reject); }), /503/);
});
