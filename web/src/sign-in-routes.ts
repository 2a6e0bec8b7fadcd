import { isExpired } from './session.ts'
import { SignInRefused } from './sign-in.ts'
import type { App, Kit, RequestContext } from './kit.ts'

export function signInRoutes(app: App, { settings, cookies, signIn }: Kit): void {
  const begin = async (c: RequestContext, newAccount: boolean) => {
    const { url, pending } = await signIn.begin({
      returnTo: localPath(c.req.query('return_to'), settings.webUrl),
      newAccount,
      retry: c.req.query('retry') !== undefined,
    })
    await cookies.savePendingSignIn(c, pending)
    c.header('Cache-Control', 'no-store')
    return c.redirect(url.href, 303)
  }
  app.get('/auth/sign-in', (c) => begin(c, false))
  app.get('/auth/sign-up', (c) => begin(c, true))

  app.get('/auth/callback', async (c) => {
    const pending = await cookies.takePendingSignIn(c)
    if (!pending) {
      // The back button after a sign-in leads here: the code is used, but the person is in.
      if (c.var.session && !isExpired(c.var.session)) return c.redirect('/', 303)
      throw new SignInRefused('no sign-in is under way in this browser')
    }
    cookies.saveSession(c, await signIn.finish(new URL(c.req.url).search, pending))
    c.header('Cache-Control', 'no-store')
    return c.redirect(settings.webUrl + pending.returnTo, 303)
  })

  app.post('/auth/sign-out', async (c) => {
    const { session } = c.var
    // First of all, and whatever the SSO says: from here on no copy of the cookie opens anything.
    cookies.endSession(c)
    if (session && (await signIn.endSession(session))) cookies.saveFlash(c, 'signed-out')
    // The SSO takes its own cookie away. Where it has not ended the session, it asks whether it should.
    return c.redirect(signIn.signOutUrl().href, 303)
  })
}

/**
 * The path and query of an address on this site, `/` for any other: no link to us may lead to somebody else.
 * It is only ever used behind webUrl, since a path can itself begin with two slashes.
 */
export function localPath(given: string | undefined, webUrl: string): string {
  const url = given?.startsWith('/') ? URL.parse(given, webUrl) : null
  if (!url || url.origin !== new URL(webUrl).origin || url.pathname.startsWith('/auth/')) return '/'
  return url.pathname + url.search
}
