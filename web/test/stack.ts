/** A dashboard between a fake SSO and a fake API, for one test file. */
import { after, before, beforeEach } from 'node:test'
import { createApp } from '../src/app.ts'
import type { App } from '../src/kit.ts'
import { createCookies, now, type Cookies, type Session } from '../src/session.ts'
import type { Settings } from '../src/settings.ts'
import { Hono } from 'hono'
import { Browser } from './browser.ts'
import { CLIENT_SECRET, fakeApi, fakeSso, type FakeApi, type FakeSso } from './fakes.ts'

const WEB_URL = 'http://localhost:3000'

export interface Stack {
  sso: FakeSso
  api: FakeApi
  settings: Settings
  app: App
  browser: Browser
  /** Puts a session into the browser as if its holder had signed in earlier. */
  pretend(change: Partial<Session>): Promise<void>
}

export function useStack(): Stack {
  const stack = {} as Stack
  let cookies: Cookies

  before(async () => {
    console.log = () => {}
    console.error = () => {}
    stack.api = await fakeApi()
    stack.sso = await fakeSso(WEB_URL, stack.api.url)
    stack.settings = {
      host: '127.0.0.1',
      port: 0,
      webUrl: WEB_URL,
      ssoUrl: stack.sso.url,
      // Another name for the same server, as in a container network.
      ssoInternalUrl: stack.sso.url.replace('127.0.0.1', 'localhost'),
      apiUrl: stack.api.url,
      apiInternalUrl: stack.api.url,
      clientSecret: CLIENT_SECRET,
      sessionSecret: 'a session secret that is long enough',
    }
    cookies = createCookies(stack.settings)
    stack.app = createApp(stack.settings, cookies)
  })

  beforeEach(() => {
    Object.assign(stack.sso.mood, { issuer: '', stale: false, deny: '', expiresIn: 3600, down: false })
    Object.assign(stack.api.mood, { trust: stack.sso, audience: stack.api.url, status: 0, delay: 0 })
    for (const rows of [stack.api.workers, stack.api.projects, stack.api.tasks, stack.api.audit]) rows.length = 0
    stack.browser = new Browser(stack.app, WEB_URL)
    stack.pretend = async (change) => {
      const session: Session = { accessToken: 'x', idToken: 'x', csrf: 'known', expiresAt: now() + 3600, signedInAt: now(), retry: false, ...change }
      const maker = new Hono().get('/', (c) => {
        cookies.saveSession(c, session)
        return c.text('')
      })
      const [line] = (await maker.request('/')).headers.getSetCookie()
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line!)!
      stack.browser.cookies.set(name!, value!)
    }
  })

  after(async () => {
    await Promise.all([stack.sso.close(), stack.api.close()])
  })

  return stack
}
