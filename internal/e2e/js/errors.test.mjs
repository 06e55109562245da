import OpenAI from 'openai';
import assert from 'node:assert/strict';
import test from 'node:test';

import { client, collect, eventually, key, question, received, script, user } from './wedge.mjs';

const openai = client();
const chat = (model, content = question()) => ({ model, messages: user(content) });

// refused checks that the SDK throws its own exception, with a message, a code and the request's id. A provider may
// have said it with a code of its own; then that is in the body, and Wedge's code in the header alone.
async function refused(promise, type, status, code, own = code) {
  await assert.rejects(promise, (err) => {
    assert.ok(err instanceof type, `${err?.constructor?.name} ${err?.status}: ${err}`);
    assert.ok(err instanceof OpenAI.APIError);
    assert.equal(err.status, status);
    assert.equal(err.code, own);
    assert.equal(err.headers.get('x-wedge-error'), code);
    assert.ok(err.type);
    assert.ok(err.error.message);
    assert.equal(err.message, `${status} ${err.error.message}`);
    assert.ok(err.requestID);
    assert.equal(err.requestID, err.headers.get('x-request-id'));
    assert.ok(!`${err.message}${JSON.stringify(err.error)}`.includes(key), 'the key is in the message');
    return true;
  });
}

test('a wrong key is an AuthenticationError', async () => {
  const wrong = `${key.slice(0, -1)}${key.endsWith('x') ? 'y' : 'x'}`;
  for (const apiKey of [wrong, 'wk_000000000000_nobody', 'sk-from-somewhere']) {
    const stranger = client({ apiKey });
    await refused(stranger.chat.completions.create(chat('demo')), OpenAI.AuthenticationError, 401, 'unauthenticated');
    await refused(stranger.models.list(), OpenAI.AuthenticationError, 401, 'unauthenticated');
  }
});

test('what a key may not do is a PermissionDeniedError', async () => {
  const elsewhere = client({ defaultHeaders: { 'x-wedge-provider': 'sim-two' } }); // the key passes through to sim alone
  await refused(elsewhere.files.list(), OpenAI.PermissionDeniedError, 403, 'forbidden');
});

test('an unknown model is a NotFoundError', async () => {
  await refused(openai.chat.completions.create(chat('no-such-model')), OpenAI.NotFoundError, 404, 'unknown_model');
  await refused(openai.chat.completions.create({ ...chat('no-such-model'), stream: true }), OpenAI.NotFoundError, 404, 'unknown_model');
  await refused(openai.chat.completions.create(chat('demo@9.9.9')), OpenAI.NotFoundError, 404, 'unknown_model');
  await refused(openai.responses.create({ model: 'no-such-model', input: 'Hi' }), OpenAI.NotFoundError, 404, 'unknown_model');
  await refused(openai.embeddings.create({ model: 'no-such-model', input: 'Hi' }), OpenAI.NotFoundError, 404, 'unknown_model');
  await refused(openai.models.retrieve('no-such-model'), OpenAI.NotFoundError, 404, 'unknown_model');
});

test('a request that makes no sense is a BadRequestError', async () => {
  await refused(openai.chat.completions.create({ messages: user('Hi') }), OpenAI.BadRequestError, 400, 'invalid_request');
  const empty = openai.chat.completions.create({ model: 'sim/strict', messages: [] });
  await refused(empty, OpenAI.BadRequestError, 400, 'invalid_request', 'empty_array');
});

for (const stream of [false, true]) {
  const kind = stream ? 'streamed' : 'whole';

  test(`a provider's 429 is a RateLimitError, ${kind}`, async () => {
    const params = { ...chat('sim/limited;fail=429;retry_after=7s'), stream };
    await refused(openai.chat.completions.create(params), OpenAI.RateLimitError, 429, 'rate_limited');
    await assert.rejects(openai.chat.completions.create(params), (err) => err.headers.get('retry-after') === '7');
  });

  for (const fail of ['500', '502', '503', '401', 'refused', 'garbage', 'empty', 'error200']) {
    test(`a provider that fails by ${fail} is an InternalServerError, ${kind}`, async () => {
      await assert.rejects(
        async () => {
          const answer = await openai.chat.completions.create({ ...chat(`sim/broken;fail=${fail}`), stream });
          if (stream) await collect(answer);
        },
        (err) => {
          assert.ok(err instanceof OpenAI.InternalServerError, `${err?.constructor?.name}: ${err}`);
          assert.ok(['upstream_error', 'upstream_protocol'].includes(err.code), err.code);
          assert.ok(err.requestID);
          return true;
        });
    });
  }
}

test("the SDK's time limit is an APIConnectionTimeoutError", async () => {
  const params = chat('sim/late;latency=5s');
  await assert.rejects(openai.chat.completions.create(params, { timeout: 200 }), OpenAI.APIConnectionTimeoutError);
  await eventually('the provider hears of it', async () =>
    (await received(params.messages[0].content)).every((request) => request.state === 'client_gone'));
});

test("Wedge's time limit is an InternalServerError", async () => {
  const answer = openai.chat.completions.create(chat('sim/late;latency=5s'), { headers: { 'x-wedge-timeout': '150ms' } });
  await refused(answer, OpenAI.InternalServerError, 504, 'upstream_timeout');
});

test("the SDK's retries get over two failures", async () => {
  const params = chat('sim/flaky-js');
  await script({ fail: '503', count: 2, model: 'flaky-js' });
  await refused(openai.chat.completions.create(params), OpenAI.InternalServerError, 502, 'upstream_error');
  const answer = await client({ maxRetries: 2 }).chat.completions.create(params);
  assert.ok(answer.choices[0].message.content);
  assert.equal((await received(params.messages[0].content)).length, 3);
});

test("the SDK's retries wait as a provider's 429 tells", async () => {
  const params = chat('sim/limited-js');
  await script({ fail: '429', model: 'limited-js', set: 'retry_after=1s' });
  const start = Date.now();
  const answer = await client({ maxRetries: 1 }).chat.completions.create({ ...params, stream: true });
  assert.ok((await collect(answer)).length > 3);
  assert.ok(Date.now() - start >= 950, `${Date.now() - start} ms`);
});

test('an exhausted quota comes through', async () => {
  await refused(openai.chat.completions.create(chat('sim/poor;fail=quota')), OpenAI.RateLimitError, 429, 'rate_limited');
});

const broken = ['error-mid', 'cut', 'cut-clean', 'malformed'];

for (const fail of broken) {
  test(`a chat stream that fails by ${fail} throws`, async () => {
    const params = { ...chat(`sim/broken;ttft=1ms;tps=400;tokens=40;fail=${fail};fail_after=5`), stream: true };
    let finish = null;
    let text = '';
    await assert.rejects(
      async () => {
        for await (const chunk of await openai.chat.completions.create(params)) {
          finish = chunk.choices[0]?.finish_reason ?? finish;
          text += chunk.choices[0]?.delta.content ?? '';
        }
      },
      (err) => err instanceof OpenAI.APIError && err.status === undefined && Boolean(err.code && err.message));
    assert.equal(finish, null);
    assert.ok(text);
    await assert.rejects(openai.chat.completions.stream(params).finalChatCompletion(), OpenAI.APIError);
  });

  test(`a response stream that fails by ${fail} ends as failed`, async () => {
    const params = { model: `sim/broken;ttft=1ms;tps=400;tokens=40;fail=${fail};fail_after=5`, input: question(), stream: true };
    const events = await collect(await openai.responses.create(params));
    assert.ok(events.some((event) => event.type === 'response.output_text.delta'));
    assert.ok(!events.some((event) => event.type === 'response.completed'));
    assert.equal(events.at(-1).type, 'response.failed');
    assert.equal(events.at(-1).response.status, 'failed');
    assert.ok(events.at(-1).response.error.message);
    assert.equal((await openai.responses.stream(params).finalResponse()).status, 'failed');
  });

  test(`a completions stream that fails by ${fail} throws`, async () => {
    const params = { model: `sim/broken;ttft=1ms;tps=400;tokens=40;fail=${fail};fail_after=5`, prompt: question(), stream: true };
    await assert.rejects(async () => collect(await openai.completions.create(params)), OpenAI.APIError);
  });
}

for (const fail of broken) {
  test(`a whole answer that fails by ${fail} throws`, async () => {
    await assert.rejects(openai.chat.completions.create(chat(`sim/broken;fail=${fail}`)), OpenAI.InternalServerError);
  });
}

test('a failed stream is not in the store', async () => {
  const content = question();
  const params = { ...chat('demo@1.1.0', content), stream: true };
  await script({ fail: 'cut', model: 'sim-large', set: 'chunks=20;fail_after=5' });
  await assert.rejects(async () => collect(await openai.chat.completions.create(params)), OpenAI.APIError);
  const { data, response } = await openai.chat.completions.create(params).withResponse();
  assert.equal(response.headers.get('x-wedge-cache'), 'miss');
  assert.equal((await collect(data)).at(-1).choices[0].finish_reason, 'stop');
});

for (const how of ['abort', 'break', 'the helper']) {
  test(`leaving a stream by ${how} ends the call upstream`, async () => {
    const params = { ...chat('sim/long;tps=10;tokens=200'), stream: true };
    const content = params.messages[0].content;
    if (how === 'the helper') {
      const stream = openai.chat.completions.stream(params);
      stream.on('chunk', () => stream.abort());
      await assert.rejects(stream.done(), OpenAI.APIUserAbortError);
    } else {
      const stream = await openai.chat.completions.create(params);
      for await (const _ of stream) {
        if (how === 'break') break;
        stream.controller.abort();
      }
    }
    const left = Date.now();
    await eventually('the provider hears of it', async () => (await received(content))[0].state === 'client_gone', 2000);
    assert.ok(Date.now() - left < 1500, `after ${Date.now() - left} ms`);
  });
}
