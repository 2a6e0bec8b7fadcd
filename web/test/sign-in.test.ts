import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../src/app.ts'
import { now } from '../src/session.ts'
import { localPath } from '../src/sign-in-routes.ts'
import { Browser } from './browser.ts'
import { useStack } from './stack.ts'

const stack = useStack()
const page = async (response: Response) => ({ status: response.status, text: await response.text() })

test('somebody signed out sees a welcome with both ways in', async () => {
  const { status, text } = await page(await stack.browser.get('/'))
  assert.equal(status, 200)
  assert.match(text, /<button class="primary">Sign in<\/button>/)
  assert.match(text, /Create an account<\/a>/)
  assert.doesNotMatch(text, /Sign out/)
})

test('signing in asks for a code with PKCE, state, nonce and the API as its audience, and ends on the tasks', async () => {
  const home = await stack.browser.signIn()
  assert.equal(home.status, 303)
  assert.equal(home.headers.get('location'), 'http://localhost:3000/')
  const asked = stack.sso.seen.authorize.at(-1)!
  assert.equal(asked.get('response_type'), 'code')
  assert.equal(asked.get('code_challenge_method'), 'S256')
  assert.equal(asked.get('resource'), stack.api.url)
  assert.equal(asked.get('scope'), 'openid profile email')
  for (const name of ['state', 'nonce', 'code_challenge']) assert.match(asked.get(name)!, /^[\w-]{43}$/)
  assert.match((await page(await stack.browser.get('/'))).text, /Signed in as <\/span>Ada Lovelace/)
})

test('creating an account is the same way with prompt=create', async () => {
  await stack.browser.toCallback('/auth/sign-up')
  assert.equal(stack.sso.seen.authorize.at(-1)!.get('prompt'), 'create')
})

test('the session cookie is HttpOnly, SameSite=Lax, and says nothing', async () => {
  const back = await stack.browser.signIn()
  const cookie = back.headers.getSetCookie().find((line) => line.startsWith('taskflow_web_session='))!
  assert.match(cookie, /; Path=\//)
  assert.match(cookie, /; HttpOnly/)
  assert.match(cookie, /; SameSite=Lax/)
  assert.doesNotMatch(cookie, /Secure/)
  // 256 random bits, and nothing about anybody.
  assert.match(cookie, /^taskflow_web_session=[\w-]{43};/)
})

test('cookies are Secure when the dashboard is reached over https', async () => {
  const app = createApp({ ...stack.settings, webUrl: 'https://tasks.example.com' })
  const response = await app.request('https://tasks.example.com/auth/sign-in')
  assert.match(response.headers.getSetCookie()[0]!, /; Secure/)
  assert.match(response.headers.get('strict-transport-security')!, /max-age/)
})

test('after a restart the SSO signs the browser in again on the page it asked for, without a word', async () => {
  await stack.browser.signIn()
  for (const path of ['/?show=done', '/audit']) {
    const restarted = stack.browser.copied(createApp(stack.settings))
    const away = new URL((await restarted.get(path)).headers.get('location')!)
    assert.equal(away.pathname, '/auth/sign-in')
    const back = await restarted.signIn(away.pathname + away.search)
    assert.equal(back.headers.get('location'), stack.settings.webUrl + path)
    assert.match((await page(await restarted.get(path))).text, /Ada Lovelace/)
  }
})

test('a session that is not known is asked about once, then the visitor sees the welcome', async () => {
  stack.browser.cookies.set('taskflow_web_session', 'x'.repeat(43))
  assert.equal((await stack.browser.get('/')).status, 303)
  assert.match((await page(await stack.browser.get('/'))).text, /Create an account/)
})

test('a sign-in under way that was made with another secret, or for another cookie, is none', async () => {
  const callback = await stack.browser.toCallback()
  const other = stack.browser.copied(createApp({ ...stack.settings, sessionSecret: 'another secret that is long enough' }))
  assert.equal((await other.get(callback)).status, 400)

  const swapped = new Browser(stack.app, stack.settings.webUrl)
  swapped.cookies.set('taskflow_web_session', stack.browser.cookies.get('taskflow_web_signin')!)
  assert.equal((await swapped.get('/workers')).status, 303)
})

test('a callback with another state is refused, and no code is exchanged', async () => {
  const callback = await stack.browser.toCallback()
  const before = stack.sso.seen.tokenRequests
  const { status, text } = await page(await stack.browser.get(callback.replace(/state=[^&]+/, 'state=forged')))
  assert.equal(status, 400)
  assert.match(text, /You are not signed in/)
  assert.equal(stack.sso.seen.tokenRequests, before)
  assert.equal(stack.browser.cookies.has('taskflow_web_session'), false)
})

test('a callback that nobody here asked for is refused', async () => {
  const callback = await new Browser(stack.app, stack.settings.webUrl).toCallback()
  assert.equal((await stack.browser.get(callback)).status, 400)
})

test('a callback works once', async () => {
  const callback = await stack.browser.toCallback()
  const pending = stack.browser.cookies.get('taskflow_web_signin')!
  await stack.browser.get(callback)
  // Back button: still signed in, so on to the tasks.
  assert.equal((await stack.browser.get(callback)).headers.get('location'), '/')
  // Replayed with its cookie: the SSO refuses the code.
  stack.browser.cookies.clear()
  stack.browser.cookies.set('taskflow_web_signin', pending)
  assert.equal((await stack.browser.get(callback)).status, 400)
})

test('an answer of another issuer is refused', async () => {
  stack.sso.mood.issuer = 'http://evil.example'
  assert.equal((await stack.browser.signIn()).status, 400)
})

test('an id token with another nonce is refused', async () => {
  stack.sso.mood.stale = true
  assert.equal((await stack.browser.signIn()).status, 503)
})

test('when the SSO says no, the visitor is told and can try again', async () => {
  stack.sso.mood.deny = 'access_denied'
  const { status, text } = await page(await stack.browser.signIn())
  assert.equal(status, 400)
  assert.match(text, /Sign in<\/button>/)
})

test('a wrong client secret is our fault, not the visitor’s', async () => {
  const app = createApp({ ...stack.settings, clientSecret: 'wrong' })
  assert.equal((await new Browser(app, stack.settings.webUrl).signIn()).status, 503)
})

test('an SSO that is down gives a clear page', async () => {
  const app = createApp({ ...stack.settings, ssoInternalUrl: 'http://127.0.0.1:1' })
  const { status, text } = await page(await new Browser(app, stack.settings.webUrl).signIn())
  assert.equal(status, 503)
  assert.match(text, /The sign-on does not answer/)
  assert.doesNotMatch(text, /ECONNREFUSED|node:internal/)
})

test('after signing in the visitor is back on the page they asked for', async () => {
  const asked = await stack.browser.get('/audit')
  assert.equal(asked.status, 303)
  const back = await stack.browser.signIn(asked.headers.get('location')!.slice(stack.settings.webUrl.length))
  assert.equal(back.headers.get('location'), 'http://localhost:3000/audit')
})

test('no address leads away from the dashboard', () => {
  const web = 'http://localhost:3000'
  assert.equal(localPath('/?show=done', web), '/?show=done')
  for (const elsewhere of ['//evil.example', '/\\evil.example', 'http://evil.example', 'https:evil', 'javascript:alert(1)', '/auth/sign-in', '', undefined]) {
    assert.equal(localPath(elsewhere, web), '/', elsewhere)
  }
})

test('a path that begins with two slashes stays on the dashboard', async () => {
  const back = await stack.browser.signIn('/auth/sign-in?return_to=/.//evil.example')
  assert.equal(new URL(back.headers.get('location')!).origin, 'http://localhost:3000')
})

test('an ended token sends to the SSO and back, whatever page is asked for', async () => {
  await stack.pretend({ expiresAt: now() - 1 })
  for (const path of ['/', '/workers', '/audit']) {
    const response = await stack.browser.get(path)
    assert.equal(response.status, 303)
    assert.equal(response.headers.get('location'), `http://localhost:3000/auth/sign-in?return_to=${encodeURIComponent(path)}`)
  }
})

test('what was typed when the token had ended comes back in the form', async () => {
  await stack.pretend({ expiresAt: now() - 1, csrf: 'known' })
  const response = await stack.browser.post('/tasks', { csrf: 'known', title: 'Buy <milk> & more', project: 'Home', assignee: '' })
  assert.equal(response.status, 303)
  const back = await stack.browser.signIn(response.headers.get('location')!.slice(stack.settings.webUrl.length))
  const { text } = await page(await stack.browser.get(back.headers.get('location')!.slice(stack.settings.webUrl.length)))
  assert.match(text, /value="Buy &lt;milk&gt; &amp; more"/)
  assert.match(text, /name="project" value="Home"/)
  assert.equal(stack.api.tasks.length, 0)
})

test('a change sent when the token had ended is not made, and the visitor is told', async () => {
  await stack.pretend({ expiresAt: now() - 1, csrf: 'known' })
  const response = await stack.browser.post('/tasks/1/complete', { csrf: 'known' })
  await stack.browser.signIn(response.headers.get('location')!.slice(stack.settings.webUrl.length))
  assert.match((await page(await stack.browser.get('/'))).text, /Your sign-in had ended/)
})

test('a token that the API no longer takes leads to a new sign-in, and back to the page', async () => {
  await stack.pretend({ accessToken: 'withdrawn' })
  const response = await stack.browser.get('/audit')
  assert.equal(response.status, 303)
  assert.equal(stack.browser.cookies.has('taskflow_web_session'), false)
  const back = await stack.browser.signIn(response.headers.get('location')!.slice(stack.settings.webUrl.length))
  assert.equal(back.headers.get('location'), 'http://localhost:3000/audit')
  assert.equal((await stack.browser.get('/audit')).status, 200)
})

test('an API that refuses every token does not send round in circles', async () => {
  stack.api.mood.audience = 'http://another.example'
  await stack.browser.signIn()
  const again = await stack.browser.get('/')
  assert.equal(again.status, 303)
  await stack.browser.signIn(again.headers.get('location')!.slice(stack.settings.webUrl.length))
  const { status, text } = await page(await stack.browser.get('/'))
  assert.equal(status, 502)
  assert.match(text, /The API does not accept your sign-in/)
})
