// What the tests share: clients of the running Wedge that the environment names, and the provider's own record.
import OpenAI from 'openai';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

function need(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: these tests run under go test ./internal/e2e/sdk`);
  return value;
}

export const url = need('WEDGE_URL'); // of the node, with /v1
export const key = need('WEDGE_KEY');
export const sim = need('WEDGE_SIM'); // of the simulated provider

// client is the SDK as an application makes it, but for retries: those that want them say so.
export const client = (options) => new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0, ...options });

let asked = 0;

// question returns a text that no other test asks, so that nothing is in the cache already.
export const question = (text = 'Why do edges matter?') => `${text} (${process.pid}-${asked++})`;

export const user = (content) => [{ role: 'user', content }];

export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

// said is what the chunks of a chat answer say, one string per choice.
export function said(chunks) {
  const texts = [];
  for (const chunk of chunks) {
    for (const choice of chunk.choices) texts[choice.index] = (texts[choice.index] ?? '') + (choice.delta.content ?? '');
  }
  return texts;
}

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

export function checkWeather(json) {
  const args = JSON.parse(json);
  assert.deepEqual(Object.keys(args).sort(), ['city', 'days', 'unit']);
  assert.equal(typeof args.city, 'string');
  assert.ok(args.days >= 1 && args.days <= 7, json);
  assert.ok(weather.properties.unit.enum.includes(args.unit), json);
}

// script makes the provider's next answers fail as told; steps name a model of their test's own.
export async function script(...steps) {
  const answer = await fetch(`${sim}/sim/script`, { method: 'POST', body: JSON.stringify(steps) });
  assert.equal(answer.status, 204, await answer.text());
}

// received returns the provider's records of the requests with a text in their body.
export async function received(text) {
  const { requests } = await (await fetch(`${sim}/sim/requests`)).json();
  return requests.filter((request) => (request.body ?? '').includes(text));
}

// eventually waits until check returns something, and returns that.
export async function eventually(what, check, within = 3000) {
  for (const end = Date.now() + within; ; await sleep(10)) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `not within ${within} ms: ${what}`);
  }
}
