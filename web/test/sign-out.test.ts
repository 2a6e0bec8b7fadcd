/** After a sign-out every copy of the cookies is worthless, on every route; nobody else notices. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { now } from '../src/session.ts'
import { Browser } from './browser.ts'
import { useStack } from './stack.ts'

const stack = useStack()

/** Tries every route with these cookies: nothing may be shown or changed that a stranger would not get. */
async function assertWorthless(thief: Browser, csrf: string): Promise<void> {
  const [tasks, entries] = [stack.api.tasks.length, stack.api.audit.length]
  for (const path of ['/', '/?show=done', '/workers', '/audit', '/nothing/here', '/auth/callback']) {
    const response = await thief.copied().get(path)
    assert.notEqual(response.status, 200, path)
    assert.doesNotMatch(await response.text(), /Ada|name="csrf"|Sign out/, path)
  }
  for (const path of ['/tasks', '/tasks/1/complete', '/tasks/1/reopen', '/tasks/1/assign']) {
    const response = await thief.copied().post(path, { csrf, title: 'stolen', assignee: '' })
    assert.equal(response.status, 303, path)
    assert.match(response.headers.get('location')!, /\/auth\/sign-in\?/, path)
  }
  assert.equal(stack.api.tasks.length, tasks)
  assert.equal(stack.api.tasks.find((task) => task.status === 'done'), undefined)
  assert.equal(stack.api.audit.length, entries)
}

test('signing out ends the session here and at the SSO, with no token in an address', async () => {
  await stack.browser.signIn()
  const response = await stack.browser.submit('/auth/sign-out')
  assert.equal(response.status, 303)
  assert.equal(stack.browser.cookies.has('taskflow_web_session'), false)
  assert.ok(stack.sso.ended.has(stack.sso.seen.sid), 'before the browser goes anywhere')
  const away = new URL(response.headers.get('location')!)
  assert.equal(away.origin, stack.sso.url)
  assert.deepEqual([...away.searchParams.keys()].sort(), ['client_id', 'post_logout_redirect_uri'])
  const back = await fetch(away, { redirect: 'manual' })
  assert.equal(back.headers.get('location'), 'http://localhost:3000/')
  const text = await (await stack.browser.get('/')).text()
  assert.match(text, /You are signed out/)
  assert.match(text, /Create an account/)
})

test('a copy of the cookies made before the sign-out opens nothing after it', async () => {
  await stack.browser.signIn()
  await stack.browser.submit('/tasks', { title: 'Buy milk', project: '', assignee: '' })
  const csrf = await stack.browser.csrf()
  const thief = stack.browser.copied()
  assert.equal((await thief.get('/audit')).status, 200, 'it was worth something before')
  await stack.browser.submit('/auth/sign-out')
  await assertWorthless(thief, csrf)
})

test('a copy opens nothing either when the access token had ended before the sign-out', async () => {
  await stack.pretend({ expiresAt: now() - 1, csrf: 'known' })
  const thief = stack.browser.copied()
  await stack.browser.post('/auth/sign-out', { csrf: 'known' })
  await assertWorthless(thief, 'known')
})

test('a copy opens nothing when the SSO did not answer to the sign-out, and the person is not told that all is done', async () => {
  await stack.browser.signIn()
  const csrf = await stack.browser.csrf()
  const thief = stack.browser.copied()
  stack.sso.mood.down = true
  assert.equal((await stack.browser.post('/auth/sign-out', { csrf })).status, 303)
  stack.sso.mood.down = false
  await assertWorthless(thief, csrf)
  assert.doesNotMatch(await (await stack.browser.get('/')).text(), /You are signed out/)
})

test('after a sign-out at the SSO a copy opens nothing here, though nobody signed out here', async () => {
  await stack.browser.signIn()
  const csrf = await stack.browser.csrf()
  const thief = stack.browser.copied()
  stack.sso.ended.add(stack.sso.seen.sid)
  const response = await thief.get('/workers')
  assert.equal(response.status, 303)
  assert.equal(response.headers.get('location'), 'http://localhost:3000/auth/sign-in?return_to=%2Fworkers&retry=')
  await assertWorthless(stack.browser, csrf)
})

test('while the SSO cannot be asked nothing is shown', async () => {
  await stack.browser.signIn()
  stack.sso.mood.down = true
  const response = await stack.browser.get('/workers')
  assert.equal(response.status, 503)
  assert.doesNotMatch(await response.text(), /ada@example|secret/)
  stack.sso.mood.down = false
  assert.equal((await stack.browser.get('/workers')).status, 200, 'the session is still there')
})

test('signing in again in a browser ends the session that it had', async () => {
  await stack.browser.signIn()
  const csrf = await stack.browser.csrf()
  const thief = stack.browser.copied()
  await stack.browser.signIn()
  await assertWorthless(thief, csrf)
  assert.equal((await stack.browser.get('/workers')).status, 200)
})

test('signing out in one browser ends no session of another', async () => {
  const other = new Browser(stack.app, stack.settings.webUrl)
  await other.signIn()
  await stack.browser.signIn()
  await stack.browser.submit('/auth/sign-out')
  assert.equal((await other.get('/workers')).status, 200)
})

test('a sign-in that was under way at the sign-out is no way back', async () => {
  await stack.browser.signIn()
  const csrf = await stack.browser.csrf()
  const callback = await stack.browser.toCallback()
  const thief = stack.browser.copied()
  assert.equal((await stack.browser.get(callback)).status, 303)
  await stack.browser.submit('/auth/sign-out')
  // The code has been used; test/sign-out.test.ts of the SSO has the one that was not.
  assert.equal((await thief.get(callback)).status, 400)
  await assertWorthless(thief, csrf)
})

test('signing out after a restart goes to the SSO, which asks', async () => {
  stack.browser.cookies.set('taskflow_web_session', 'x'.repeat(43))
  const response = await stack.browser.post('/auth/sign-out', {})
  assert.equal(new URL(response.headers.get('location')!).pathname, '/api/auth/oauth2/end-session')
  assert.equal(stack.browser.cookies.size, 0)
})

test('somebody whose token has ended can still sign out', async () => {
  await stack.pretend({ expiresAt: now() - 1, csrf: 'known' })
  const response = await stack.browser.post('/auth/sign-out', { csrf: 'known' })
  assert.equal(new URL(response.headers.get('location')!).origin, stack.sso.url)
})
