// What the programs of this folder share: the node that the environment names, and what is asked through every SDK.
import assert from 'node:assert/strict';

function need(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests run under go test ./internal/e2e`);
  return value;
}

export const url = need('WEDGE_NODE'); // of the node, without a version
export const key = need('WEDGE_KEY');
export const models = need('WEDGE_MODELS').split(','); // one for the dialect of each provider
const sim = need('WEDGE_SIM'); // the provider behind all of them
const simKey = need('WEDGE_SIM_KEY');

export const wrongKey = 'wk_000000000000_nobody';
export const system = 'Be brief.';
export const image = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export const weather = {
  type: 'object',
  properties: {
    city: { type: 'string' },
    days: { type: 'integer', minimum: 1, maximum: 7 },
    unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
  },
  required: ['city', 'days', 'unit'],
  additionalProperties: false,
};

export function checkWeather(args) {
  assert.deepEqual(Object.keys(args).sort(), ['city', 'days', 'unit']);
  assert.equal(args.city, 'Paris');
  assert.ok(args.days >= 1 && args.days <= 7, JSON.stringify(args));
  assert.ok(weather.properties.unit.enum.includes(args.unit), JSON.stringify(args));
}

// told is what the provider answers to a prompt when it is asked without a node in between. It answers the same in
// every dialect, so that this is what a client must hear whatever became of its words on the way.
export async function told({ prompt, picture, max, stop }) {
  const content = picture
    ? [{ type: 'text', text: prompt }, { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } }]
    : prompt;
  const messages = [{ role: 'system', content: system }, { role: 'user', content }];
  const answer = await fetch(`${sim}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${simKey}` },
    body: JSON.stringify({ model: 'x', messages, stop, max_completion_tokens: max }),
  });
  const { choices } = await answer.json();
  return choices[0].message.content;
}

export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
