/** The server without its socket: what holds for every request, then the routes. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { csrf } from 'hono/csrf'
import { HTTPException } from 'hono/http-exception'
import { secureHeaders } from 'hono/secure-headers'
import { ApiUnavailable, NotFound, TokenRefused } from './api.ts'
import { dashboardRoutes, filledForm } from './dashboard.ts'
import type { App, Kit, PageStatus, RequestContext } from './kit.ts'
import { layout } from './pages/layout.ts'
import { problemPage, type Problem } from './pages/problem.ts'
import { createCookies, now, sameToken } from './session.ts'
import type { Settings } from './settings.ts'
import { createSignIn, SignInRefused, SsoUnavailable } from './sign-in.ts'
import { signInRoutes } from './sign-in-routes.ts'

const read = (name: string) => readFileSync(new URL(`static/${name}`, import.meta.url))

export function createApp(settings: Settings, cookies = createCookies(settings)): App {
  const app: App = new Hono()
  const style = read('style.css')
  const icon = read('icon.svg')
  // The address changes with the content, so browsers may keep it for good.
  const stylesheet = `/style.css?v=${createHash('sha256').update(style).digest('hex').slice(0, 12)}`

  const kit: Kit = {
    settings,
    cookies,
    signIn: createSignIn(settings),
    page(c, frame, content, status = 200) {
      const { session } = c.var
      c.header('Cache-Control', 'no-store')
      return c.html(layout({ ...frame, stylesheet, visitor: session && { me: c.var.me, csrf: session.csrf } }, content), status)
    },
  }

  app.use(async (c, next) => {
    const began = performance.now()
    await next()
    // The path alone: the query of the sign-in's callback is a secret.
    if (c.req.path !== '/health') console.log(`${c.req.method} ${c.req.path} ${c.res.status} ${Math.round(performance.now() - began)} ms`)
  })

  const https = settings.webUrl.startsWith('https:')
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        // Chromium holds a form to this list through every redirect that follows it, so signing in and out needs the SSO here.
        formAction: ["'self'", settings.webUrl, new URL(settings.ssoUrl).origin],
        frameAncestors: ["'none'"],
        baseUri: ["'none'"],
      },
      permissionsPolicy: { camera: [], geolocation: [], microphone: [] },
      // Not the stricter no-referrer: with it browsers send `Origin: null` with our own forms.
      referrerPolicy: 'same-origin',
      strictTransportSecurity: https,
      xFrameOptions: 'DENY',
    }),
  )

  app.get('/health', (c) => c.json({ status: 'ok' }, 200, { 'Cache-Control': 'no-store' }))
  const forGood = { 'Cache-Control': 'public, max-age=31536000, immutable' }
  app.get('/style.css', (c) => c.body(style, 200, { 'Content-Type': 'text/css; charset=utf-8', ...forGood }))
  app.get('/icon.svg', (c) => c.body(icon, 200, { 'Content-Type': 'image/svg+xml', 'Cache-Control': 'public, max-age=3600' }))

  app.use(async (c, next) => {
    c.set('session', cookies.readSession(c))
    await next()
  })

  // Two locks on every form: the browser's word on where it was sent from, and a token that only our own pages know.
  app.use(csrf({ origin: settings.webUrl }))
  app.use(bodyLimit({ maxSize: 64 * 1024 }))
  app.post('*', async (c, next) => {
    const { session } = c.var
    const form = await c.req.parseBody()
    if (session && !sameToken(form['csrf'], session.csrf)) throw new HTTPException(403)
    await next()
  })

  signInRoutes(app, kit)
  dashboardRoutes(app, kit)

  const problem = (c: RequestContext, status: PageStatus, what: Problem) =>
    kit.page(c, { title: what.heading }, problemPage(what, settings.webUrl), status)
  const again = async (c: RequestContext) => {
    const href = c.req.method === 'GET' ? c.req.path : c.req.path === '/tasks' ? await filledForm(c) : '/'
    return { href, name: 'Try again' }
  }

  app.notFound((c) =>
    problem(c, 404, { heading: 'Page not found', text: 'There is nothing at this address.', next: { href: '/', name: 'Back to the tasks' } }),
  )

  app.onError(async (error, c) => {
    if (error instanceof TokenRefused) {
      const { session } = c.var
      // Once is a token that has been withdrawn, or of a database that is no more. Twice in a row is a wrong set-up, and signing
      // in again would go round in circles.
      if (!session?.retry || now() - session.signedInAt > 30) {
        cookies.endSession(c)
        const returnTo = c.req.method === 'GET' ? c.req.path : '/'
        return c.redirect(`${settings.webUrl}/auth/sign-in?${new URLSearchParams({ return_to: returnTo, retry: '' })}`, 303)
      }
      console.error('an access token the SSO has just issued is refused: compare the issuer, audience and keys of SSO and API')
      return problem(c, 502, {
        heading: 'The API does not accept your sign-in',
        text: 'The sign-on worked, but the API refuses what it issued. If signing in again does not help, tell whoever runs this.',
        next: 'sign-in',
      })
    }
    if (error instanceof ApiUnavailable) {
      console.error(`API unavailable: ${error.message}`)
      c.header('Retry-After', '5')
      return problem(c, error.status, {
        heading: 'The task service does not answer',
        text: `${c.req.method === 'GET' ? '' : 'Your change may not have been made. '}It may just be starting: try again in a moment.`,
        next: await again(c),
      })
    }
    if (error instanceof SsoUnavailable) {
      console.error(`SSO unavailable: ${error.message}`)
      c.header('Retry-After', '5')
      return problem(c, 503, { heading: 'The sign-on does not answer', text: 'It may just be starting: try again in a moment.', next: 'sign-in' })
    }
    if (error instanceof SignInRefused) {
      console.error(`sign-in refused: ${error.message}`)
      return problem(c, 400, {
        heading: 'You are not signed in',
        text: 'The sign-in took too long, was cancelled, or was finished in another window.',
        next: 'sign-in',
      })
    }
    if (error instanceof NotFound) {
      return problem(c, 404, { heading: 'Not found', text: 'It is not there any more.', next: { href: '/', name: 'Back to the tasks' } })
    }
    if (error instanceof HTTPException && error.status === 403) {
      return problem(c, 403, {
        heading: 'This form is out of date',
        text: 'Nothing was changed. Open the page again and send the form from there.',
        next: { href: '/', name: 'Back to the tasks' },
      })
    }
    if (error instanceof HTTPException && error.status === 413) {
      return problem(c, 413, { heading: 'That is too much', text: 'The form is larger than this page accepts.', next: { href: '/', name: 'Back to the tasks' } })
    }
    console.error(error)
    return problem(c, 500, { heading: 'Something went wrong', text: 'That is our fault. Nothing more is known here; the log has it.', next: await again(c) })
  })

  return app
}
