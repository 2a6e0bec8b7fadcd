/** A small SSO and a small API, real enough to sign in against: HTTP servers on ports of the system's choice. */
import { createHash, randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import type { AuditEntry, Project, Task, Worker } from '../src/api.ts'

export interface Listening {
  readonly url: string
  close(): Promise<void>
}

export async function listen(app: Hono): Promise<Listening> {
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }) as Server
  await new Promise<void>((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export const ADA = { sub: 'user-ada', name: 'Ada Lovelace', email: 'ada@example.com' }
export const CLIENT_SECRET = 'a client secret, with /+:% in it'

export type FakeSso = Awaited<ReturnType<typeof fakeSso>>

/** Signs everybody in as Ada, at once. Checks what the real one checks, and remembers what it was asked. */
export async function fakeSso(webUrl: string, apiUrl: string) {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA')
  const codes = new Map<string, URLSearchParams>()
  /** The sessions that have ended, by their `sid`. */
  const ended = new Set<unknown>()
  const seen = { authorize: [] as URLSearchParams[], endSession: [] as URLSearchParams[], tokenRequests: 0, sid: '' }
  /** What the tests change: how it answers from now on. */
  const mood = { issuer: '', stale: false, deny: '', expiresIn: 3600, down: false }
  const app = new Hono()
  app.use(async (c, next) => (mood.down ? c.text('a traceback with a secret in it', 500) : next()))

  // RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
  const isClient = (c: Context): boolean => {
    const basic = Buffer.from(c.req.header('authorization')?.slice('Basic '.length) ?? '', 'base64').toString()
    return basic.split(':').map((half) => new URLSearchParams(`x=${half}`).get('x')).join(':') === `taskflow-web:${CLIENT_SECRET}`
  }

  const sign = (claims: object, audience: string) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'one' })
      .setIssuer(here.url)
      .setAudience(audience)
      .setSubject(ADA.sub)
      .setIssuedAt()
      .setExpirationTime(`${mood.expiresIn}s`)
      .sign(privateKey)

  app.get('/api/auth/oauth2/authorize', (c) => {
    const query = new URL(c.req.url).searchParams
    seen.authorize.push(query)
    const back = new URL(`${webUrl}/auth/callback`)
    if (query.get('redirect_uri') !== back.href || query.get('client_id') !== 'taskflow-web') return c.text('unknown client', 400)
    const answer: Record<string, string> = { state: query.get('state') ?? '', iss: mood.issuer || here.url }
    if (mood.deny) {
      answer['error'] = mood.deny
    } else {
      answer['code'] = randomUUID()
      codes.set(answer['code'], query)
    }
    back.search = new URLSearchParams(answer).toString()
    return c.redirect(back.href)
  })

  app.post('/api/auth/oauth2/token', async (c) => {
    seen.tokenRequests += 1
    const form = new URLSearchParams(await c.req.text())
    if (!isClient(c)) return c.json({ error: 'invalid_client' }, 401)
    const asked = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url')
    if (!asked || asked.get('code_challenge') !== challenge || asked.get('redirect_uri') !== form.get('redirect_uri')) {
      return c.json({ error: 'invalid_grant' }, 400)
    }
    if (form.get('resource') !== apiUrl) return c.json({ error: 'invalid_target' }, 400)
    seen.sid = randomUUID()
    return c.json({
      token_type: 'Bearer',
      expires_in: mood.expiresIn,
      access_token: await sign({ name: ADA.name, email: ADA.email, sid: seen.sid }, apiUrl),
      id_token: await sign({ nonce: mood.stale ? 'stale' : asked.get('nonce'), sid: seen.sid }, 'taskflow-web'),
    })
  })

  const sidOf = async (token: string | null): Promise<unknown> => (await jwtVerify(token ?? '', publicKey, { currentDate: new Date(0) })).payload['sid']

  app.post('/api/auth/oauth2/introspect', async (c) => {
    if (!isClient(c)) return c.json({ error: 'invalid_client' }, 401)
    const sid = await sidOf(new URLSearchParams(await c.req.text()).get('token')).catch(() => undefined)
    return c.json({ active: sid !== undefined && !ended.has(sid) })
  })

  app.on(['GET', 'POST'], '/api/auth/oauth2/end-session', async (c) => {
    const request = c.req.method === 'GET' ? new URL(c.req.url).searchParams : new URLSearchParams(await c.req.text())
    seen.endSession.push(request)
    const hint = request.get('id_token_hint')
    const sid = hint === null ? '' : await sidOf(hint).catch(() => undefined)
    ended.add(sid)
    return c.redirect(sid !== undefined && request.get('post_logout_redirect_uri') === `${webUrl}/` ? `${webUrl}/` : `${here.url}/sign-out`, 303)
  })

  app.get('/api/auth/jwks', async (c) => c.json({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'EdDSA' }] }))

  const here = await listen(app)
  return { ...here, seen, mood, ended, publicKey }
}

export type FakeApi = Awaited<ReturnType<typeof fakeApi>>

/** Keeps tasks in memory. `trust` names the SSO whose tokens it takes; without one it takes none. */
export async function fakeApi() {
  const workers: Worker[] = []
  const projects: Project[] = []
  const tasks: Task[] = []
  const audit: AuditEntry[] = []
  const mood: { trust?: FakeSso; audience: string; status: number; delay: number } = { audience: '', status: 0, delay: 0 }
  const app = new Hono<{ Variables: { me: Worker } }>()
  const record = (me: Worker, action: string, entity: string, entity_id: number, detail: string) =>
    audit.unshift({ id: audit.length + 1, at: new Date().toISOString(), actor_name: me.name, action, entity, entity_id, detail })

  app.use(async (c, next) => {
    if (mood.delay) await new Promise((resolve) => setTimeout(resolve, mood.delay))
    if (mood.status) return c.text('a traceback with a secret in it', mood.status as 500)
    try {
      const token = c.req.header('authorization')?.replace('Bearer ', '') ?? ''
      const { payload } = await jwtVerify(token, mood.trust!.publicKey, { issuer: mood.trust!.url, audience: mood.audience })
      let me = workers.find((one) => one.email === payload['email'])
      if (!me) {
        me = { id: workers.length + 1, name: String(payload['name']), email: String(payload['email']) }
        workers.push(me)
        record(me, 'created', 'worker', me.id, `name: ${me.name}`)
      }
      c.set('me', me)
    } catch {
      return c.json({ detail: 'invalid token' }, 401, { 'WWW-Authenticate': 'Bearer' })
    }
    return next()
  })

  app.get('/me', (c) => c.json(c.var.me))
  app.get('/workers', (c) => c.json(workers))
  app.get('/projects', (c) => c.json(projects))
  app.get('/tasks', (c) => c.json(tasks))
  app.get('/audit', (c) => c.json(audit.slice(0, Number(c.req.query('limit')))))

  const projectCalled = (name: string, me: Worker): Project => {
    const project = projects.find((one) => one.name === name) ?? { id: projects.length + 1, name }
    if (!projects.includes(project)) {
      projects.push(project)
      record(me, 'created', 'project', project.id, `name: ${name}`)
    }
    return project
  }
  app.post('/projects', async (c) => c.json(projectCalled((await c.req.json<{ name: string }>()).name, c.var.me), 201))

  app.post('/tasks', async (c) => {
    const body = await c.req.json<{ title: string; project_id?: number; assignee_id?: number }>()
    if (body.title === 'refused') return c.json({ detail: [{ loc: ['body', 'title'], msg: 'the API does not like it' }] }, 422)
    const assignee = workers.find((one) => one.id === body.assignee_id)
    if (body.assignee_id && !assignee) return c.json({ detail: `no worker ${body.assignee_id}` }, 422)
    const project = projects.find((one) => one.id === body.project_id) ?? projectCalled('Inbox', c.var.me)
    const task: Task = {
      id: tasks.length + 1,
      title: body.title,
      project_id: project.id,
      project_name: project.name,
      assignee_id: assignee?.id ?? null,
      assignee_name: assignee?.name ?? null,
      status: 'open',
      created_at: new Date().toISOString(),
      completed_at: null,
    }
    tasks.unshift(task)
    record(c.var.me, 'created', 'task', task.id, `title: ${task.title}`)
    return c.json(task, 201)
  })

  app.patch('/tasks/:id', async (c) => {
    const body = await c.req.json<{ status?: Task['status']; assignee_id?: number | null }>()
    const index = tasks.findIndex((one) => one.id === Number(c.req.param('id')))
    const task = tasks[index]
    if (!task) return c.json({ detail: 'no such task' }, 404)
    const assignee = body.assignee_id === undefined ? undefined : (workers.find((one) => one.id === body.assignee_id) ?? null)
    tasks[index] = {
      ...task,
      ...(body.status ? { status: body.status, completed_at: body.status === 'done' ? new Date().toISOString() : null } : {}),
      ...(assignee === undefined ? {} : { assignee_id: assignee?.id ?? null, assignee_name: assignee?.name ?? null }),
    }
    record(c.var.me, 'updated', 'task', task.id, Object.entries(body).map(([name, value]) => `${name}: ${value}`).join('; '))
    return c.json(tasks[index])
  })

  const here = await listen(app as unknown as Hono)
  return { ...here, workers, projects, tasks, audit, mood }
}
