import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../src/app.ts'
import { Browser } from './browser.ts'
import { useStack } from './stack.ts'

const stack = useStack()

test('health answers without a session, the SSO or the API', async () => {
  const app = createApp({ ...stack.settings, apiInternalUrl: 'http://127.0.0.1:1', ssoInternalUrl: 'http://127.0.0.1:1' })
  const response = await app.request('/health')
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), { status: 'ok' })
})

test('an API that cannot be reached gives a clear page and keeps the session', async () => {
  const app = createApp({ ...stack.settings, apiInternalUrl: 'http://127.0.0.1:1' })
  const browser = new Browser(app, stack.settings.webUrl)
  await browser.signIn()
  const response = await browser.get('/')
  const text = await response.text()
  assert.equal(response.status, 503)
  assert.equal(response.headers.get('retry-after'), '5')
  assert.match(text, /The task service does not answer/)
  assert.match(text, /Sign out/)
  assert.doesNotMatch(text, /ECONNREFUSED|127\.0\.0\.1:1|node:internal/)
  assert.ok(browser.cookies.has('taskflow_web_session'))
})

test('an API that breaks gives a clear page without its words', async () => {
  await stack.browser.signIn()
  stack.api.mood.status = 500
  const response = await stack.browser.get('/workers')
  assert.equal(response.status, 502)
  assert.doesNotMatch(await response.text(), /traceback|secret/)
})

test('what was typed while the API was down is kept for the next try', async () => {
  await stack.browser.signIn()
  const csrf = await stack.browser.csrf()
  stack.api.mood.status = 503
  const response = await stack.browser.post('/tasks', { csrf, title: 'Buy milk & tea', project: 'Home', assignee: '1' })
  assert.equal(response.status, 503)
  assert.match(await response.text(), /href="\/\?title=Buy\+milk\+%26\+tea&amp;project=Home&amp;assignee=1">Try again/)
})

test('an unknown address is a page of its own', async () => {
  const response = await stack.browser.get('/nothing/here')
  assert.equal(response.status, 404)
  assert.match(await response.text(), /Page not found/)
})

test('a fault of ours shows no stack trace', async () => {
  const app = createApp(stack.settings)
  app.get('/fault', () => {
    throw new Error('secret detail')
  })
  const response = await app.request('/fault')
  assert.equal(response.status, 500)
  assert.doesNotMatch(await response.text(), /secret detail|at .*\.ts/)
})

test('every page forbids scripts, frames and caching', async () => {
  await stack.browser.signIn()
  for (const path of ['/', '/workers', '/nothing/here']) {
    const { headers } = await stack.browser.get(path)
    const policy = headers.get('content-security-policy')!
    assert.match(policy, /default-src 'none'/)
    assert.match(policy, /frame-ancestors 'none'/)
    assert.doesNotMatch(policy, /unsafe|script-src/)
    assert.ok(policy.includes(`form-action 'self' http://localhost:3000 ${stack.sso.url}`))
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('strict-transport-security'), null)
  }
})

test('the style sheet is found under the address the pages name', async () => {
  const text = await (await stack.browser.get('/')).text()
  const response = await stack.browser.get(/href="(\/style\.css\?v=\w+)"/.exec(text)![1]!)
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type')!, /^text\/css/)
})
