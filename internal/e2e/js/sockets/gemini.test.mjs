// Google's SDK talks with the Live API through a node that speaks TLS.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GoogleGenAI } from '@google/genai';

const { WEDGE_URL, WEDGE_KEY: apiKey } = process.env;
const baseUrl = WEDGE_URL.replace(/\/v1$/, '');
const google = new GoogleGenAI({ apiKey, httpOptions: { baseUrl } });

// converse opens a Live session; until hears up to the message for which last is true.
async function converse(t, model, config) {
  const heard = [];
  let wake = () => {};
  const tell = (what) => { heard.push(what); wake(); };
  const session = await google.live.connect({
    model, config, callbacks: { onmessage: tell, onclose: ({ code, reason }) => tell({ closed: { code, reason } }) },
  });
  t.after(() => session.close());
  const until = async (last) => {
    const all = [];
    for (;;) {
      while (!heard.length) await new Promise((resolve) => { wake = resolve; });
      all.push(heard.shift());
      if (last(all.at(-1))) return all;
      assert.ok(!all.at(-1).closed, JSON.stringify(all.at(-1)));
    }
  };
  return { session, until };
}

const turnComplete = ({ serverContent }) => serverContent?.turnComplete;
const textOf = (all) => all.map(({ serverContent }) => serverContent?.modelTurn?.parts[0].text ?? '').join('');

test('a Live session says what a POST says', async (t) => {
  const declaration = { name: 'get_weather', parametersJsonSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } };
  const tools = [{ functionDeclarations: [declaration] }];
  const { session, until } = await converse(t, 'to-gemini', { responseModalities: ['TEXT'], tools });
  session.sendClientContent({ turns: 'One' });
  const all = await until(turnComplete);
  const whole = await google.models.generateContent({ model: 'to-gemini', contents: 'One', config: { tools } });
  assert.equal(textOf(all), whole.text);
  assert.equal(all.at(-1).usageMetadata.responseTokenCount, whole.usageMetadata.candidatesTokenCount);

  session.sendClientContent({ turns: 'Call get_weather for Paris' });
  const [{ toolCall }] = await until((message) => message.toolCall);
  const { id, name } = toolCall.functionCalls[0];
  session.sendToolResponse({ functionResponses: [{ id, name, response: { output: 'rain' } }] });
  assert.ok(textOf(await until(turnComplete)));
});

test('a Live session hears when a turn is over, and speaks', async (t) => {
  const { session, until } = await converse(t, 'to-gemini', { responseModalities: ['AUDIO'], inputAudioTranscription: {}, outputAudioTranscription: {} });
  for (const sample of [16, 0]) {
    session.sendRealtimeInput({ audio: { data: Buffer.alloc(32 * 500, sample).toString('base64'), mimeType: 'audio/pcm;rate=16000' } });
  }
  const all = (await until(turnComplete)).filter(({ serverContent }) => serverContent);
  assert.ok(all.some(({ serverContent }) => serverContent.inputTranscription?.text));
  const sound = all.map(({ serverContent }) => serverContent.modelTurn?.parts[0].inlineData?.data ?? '').join('');
  assert.ok(sound.length > 0);
});

test('a model of another dialect has no Live session', async (t) => {
  await assert.rejects(converse(t, 'to-openai', {}), /1008.*no_target/);
});
