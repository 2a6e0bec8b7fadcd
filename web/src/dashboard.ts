/** The pages for people who are signed in. */
import { createMiddleware } from 'hono/factory'
import { createApi, InputRefused, NotFound, TokenRefused, type Api, type NewTask, type TaskChange } from './api.ts'
import type { App, Kit, RequestContext, Variables } from './kit.ts'
import { auditPage } from './pages/audit.ts'
import type { Message } from './pages/layout.ts'
import { asFilter, LONGEST, tasksPage, type TaskForm, type TaskFormErrors } from './pages/tasks.ts'
import { welcomePage } from './pages/welcome.ts'
import { workersPage } from './pages/workers.ts'
import { isExpired } from './session.ts'

const AUDIT_LIMIT = 100

const FLASHES: Readonly<Record<string, Message>> = {
  'task-created': { tone: 'good', text: 'Task created.' },
  'task-completed': { tone: 'good', text: 'Task completed. You find it under Done.' },
  'task-reopened': { tone: 'good', text: 'Task re-opened.' },
  'task-assigned': { tone: 'good', text: 'Task assigned.' },
  'task-unassigned': { tone: 'good', text: 'Nobody is assigned to the task now.' },
  'signed-out': { tone: 'good', text: 'You are signed out.' },
  'task-gone': { tone: 'bad', text: 'That task does not exist any more.' },
  'change-refused': { tone: 'bad', text: 'The change was not accepted. The list below is up to date: please try again.' },
  'expired': { tone: 'bad', text: 'Your sign-in had ended, so nothing was changed. You are signed in again: please repeat it.' },
}

export function dashboardRoutes(app: App, { settings, cookies, signIn, page }: Kit): void {
  const flash = (c: RequestContext): Message | undefined => {
    const name = cookies.takeFlash(c)
    return name !== undefined && Object.hasOwn(FLASHES, name) ? FLASHES[name] : undefined
  }

  const signInAgain = (c: RequestContext, returnTo: string) =>
    c.redirect(`${settings.webUrl}/auth/sign-in?${new URLSearchParams({ return_to: returnTo })}`, 303)

  /** Lets through who is signed in, with the API at hand; sends everybody else to the SSO and back to where they were. */
  const signedIn = createMiddleware<{ Variables: Variables }>(async (c, next) => {
    const { session } = c.var
    if (!session || isExpired(session)) {
      if (c.req.method === 'GET') return signInAgain(c, c.req.path + new URL(c.req.url).search)
      if (c.req.path === '/tasks') return signInAgain(c, await filledForm(c))
      cookies.saveFlash(c, 'expired')
      return signInAgain(c, '/')
    }
    const api = createApi(settings.apiInternalUrl, session.accessToken)
    // First of all, because it makes a newcomer a worker before the list of workers is asked for.
    const me = await api.me()
    if (!(await signIn.isActive(session))) throw new TokenRefused('the SSO has ended its session')
    c.set('api', api)
    c.set('me', me)
    await next()
    return
  })

  async function showTasks(c: RequestContext, form: TaskForm, message: Message | undefined, errors?: TaskFormErrors) {
    const { api, session } = c.var
    const [tasks, workers, projects] = await Promise.all([api.tasks(), api.workers(), api.projects()])
    const filter = asFilter(c.req.query('show'))
    const content = tasksPage({ tasks, workers, projects, filter, form, errors: errors ?? {}, csrf: session?.csrf ?? '' })
    return page(c, { title: 'Tasks', at: '/', message }, content, errors ? 422 : 200)
  }

  app.get('/', async (c, next) => {
    if (c.var.session) return next()
    if (cookies.takeLostSession(c)) return signInAgain(c, c.req.path + new URL(c.req.url).search)
    return page(c, { title: 'Welcome', message: flash(c) }, welcomePage(settings.webUrl))
  })

  app.get('/', signedIn, (c) => {
    const { title = '', project = '', assignee = '' } = c.req.query()
    return showTasks(c, { title, project, assignee }, flash(c))
  })

  app.post('/tasks', signedIn, async (c) => {
    const form = await typed(c)
    const refuse = (errors: TaskFormErrors, why = 'see below.') =>
      showTasks(c, form, { tone: 'bad', text: `The task was not created: ${why}` }, errors)
    if (form.title.trim() === '') return refuse({ title: 'Say what is to be done.' })
    if (form.title.trim().length > LONGEST) return refuse({ title: `Use at most ${LONGEST} characters.` })
    try {
      await c.var.api.createTask(await newTask(c.var.api, form))
    } catch (error) {
      if (!(error instanceof InputRefused)) throw error
      const { errors, rest } = sorted(error)
      return refuse(errors, rest)
    }
    cookies.saveFlash(c, 'task-created')
    return c.redirect('/', 303)
  })

  const change = (path: string, what: (c: RequestContext) => Promise<{ change: TaskChange; flash: string }>) =>
    app.post(`/tasks/:id{[0-9]{1,9}}/${path}`, signedIn, async (c) => {
      const wanted = await what(c)
      try {
        await c.var.api.changeTask(Number(c.req.param('id')), wanted.change)
        cookies.saveFlash(c, wanted.flash)
      } catch (error) {
        if (error instanceof NotFound) cookies.saveFlash(c, 'task-gone')
        else if (error instanceof InputRefused) cookies.saveFlash(c, 'change-refused')
        else throw error
      }
      return c.redirect(`/?show=${asFilter((await c.req.parseBody())['show'])}`, 303)
    })

  change('complete', async () => ({ change: { status: 'done' }, flash: 'task-completed' }))
  change('reopen', async () => ({ change: { status: 'open' }, flash: 'task-reopened' }))
  change('assign', async (c) => {
    const worker = asId(await field(c, 'assignee'))
    return { change: { assignee_id: worker ?? null }, flash: worker ? 'task-assigned' : 'task-unassigned' }
  })

  app.get('/workers', signedIn, async (c) => {
    const [workers, tasks] = await Promise.all([c.var.api.workers(), c.var.api.tasks()])
    return page(c, { title: 'Workers', at: '/workers', message: flash(c) }, workersPage(workers, tasks))
  })

  app.get('/audit', signedIn, async (c) => {
    const entries = await c.var.api.audit(AUDIT_LIMIT)
    return page(c, { title: 'Audit', at: '/audit', message: flash(c) }, auditPage(entries, AUDIT_LIMIT))
  })
}

async function field(c: RequestContext, name: string): Promise<string> {
  const value = (await c.req.parseBody())[name]
  return typeof value === 'string' ? value : ''
}

/** The address of the form with what was typed in it: worth keeping when something comes between. */
export async function filledForm(c: RequestContext): Promise<string> {
  return `/?${new URLSearchParams({ ...(await typed(c)) })}`
}

async function typed(c: RequestContext): Promise<TaskForm> {
  return { title: await field(c, 'title'), project: await field(c, 'project'), assignee: await field(c, 'assignee') }
}

const asId = (text: string): number | undefined => (/^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined)

/** A project that does not exist yet is made first; none at all is left to the API, which knows an inbox. */
async function newTask(api: Api, form: TaskForm): Promise<NewTask> {
  const name = form.project.trim()
  const assignee = asId(form.assignee)
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase()
  const project = name && ((await api.projects()).find((one) => same(one.name, name)) ?? (await api.createProject(name)))
  return {
    title: form.title.trim(),
    ...(project ? { project_id: project.id } : {}),
    ...(assignee ? { assignee_id: assignee } : {}),
  }
}

/** The API's messages at the fields of the form they belong to; `rest` is what belongs to none. */
function sorted(refused: InputRefused): { errors: TaskFormErrors; rest: string | undefined } {
  const at: Readonly<Record<string, keyof TaskForm>> = { title: 'title', name: 'project', project_id: 'project', assignee_id: 'assignee' }
  const errors: TaskFormErrors = {}
  let rest: string | undefined
  for (const [name, text] of refused.fields) {
    const where = at[name]
    if (where) errors[where] = text
    else rest = text
  }
  return { errors, rest }
}
