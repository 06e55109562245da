// What the tests share: the simulated provider that the environment names, and what they ask it.
import assert from 'node:assert/strict';

export const url = process.env.SIM_URL;
if (!url) throw new Error('SIM_URL is not set: these tests run under go test ./bench/sim');

export const weather = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1, maximum: 7 } },
  required: ['city', 'days'],
};

export function checkWeather(args) {
  assert.equal(args.city, 'Paris');
  assert.ok(args.days >= 1 && args.days <= 7);
}

export const image = 'iVBORw0KGgo=';

// script makes the next answers fail as told.
export async function script(...steps) {
  const answer = await fetch(`${url}/sim/script`, { method: 'POST', body: JSON.stringify(steps) });
  assert.equal(answer.status, 204, await answer.text());
}

// received returns the records of the requests with a text in their body.
export async function received(text) {
  const { requests } = await (await fetch(`${url}/sim/requests`)).json();
  return requests.filter((request) => (request.body ?? '').includes(text));
}
