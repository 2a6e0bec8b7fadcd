/** The calls this dashboard makes to the taskflow API, each in the name of the person signed in. */
import { reason } from './reason.ts'

export interface Worker {
  readonly id: number
  readonly name: string
  readonly email: string
}

export interface Project {
  readonly id: number
  readonly name: string
}

export interface Task {
  readonly id: number
  readonly title: string
  readonly project_id: number
  readonly project_name: string
  readonly assignee_id: number | null
  readonly assignee_name: string | null
  readonly status: 'open' | 'done'
  readonly created_at: string
  readonly completed_at: string | null
}

export interface AuditEntry {
  readonly id: number
  readonly at: string
  readonly actor_name: string
  readonly action: string
  readonly entity: string
  readonly entity_id: number
  readonly detail: string
}

export interface NewTask {
  readonly title: string
  readonly project_id?: number
  readonly assignee_id?: number
}

export interface TaskChange {
  readonly assignee_id?: number | null
  readonly status?: Task['status']
}

/** The API does not take the access token: it ended, or was never good. */
export class TokenRefused extends Error {}

/** The API could not be reached or says it cannot work now (503); or its answer is not one (502). */
export class ApiUnavailable extends Error {
  readonly status: 502 | 503
  constructor(status: 502 | 503, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}

export class NotFound extends Error {}

/** The API understood and said no; one message for each field it named, '' for the whole. */
export class InputRefused extends Error {
  readonly fields: ReadonlyMap<string, string>
  constructor(fields: ReadonlyMap<string, string>) {
    super([...fields.values()].join('; '))
    this.fields = fields
  }
}

/** As many as the API gives in one answer, newest first. */
export const TASKS_LIMIT = 500

/** Milliseconds before a silent API counts as unreachable. */
const PATIENCE = 10_000

export type Api = ReturnType<typeof createApi>

export function createApi(baseUrl: string, accessToken: string) {
  async function call<T>(method: string, path: string, body?: object): Promise<T> {
    let response: Response
    let answer: unknown
    try {
      response = await fetch(baseUrl + path, {
        method,
        headers: {
          authorization: `Bearer ${accessToken}`,
          accept: 'application/json',
          ...(body ? { 'content-type': 'application/json' } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        redirect: 'error',
        signal: AbortSignal.timeout(PATIENCE),
      })
      answer = await response.json().catch((error: unknown) => {
        if (error instanceof SyntaxError) return undefined
        throw error
      })
    } catch (error) {
      throw new ApiUnavailable(503, `${method} ${path}: ${reason(error)}`, { cause: error })
    }
    if (response.status === 401) throw new TokenRefused(`${method} ${path}: 401`)
    if (response.status === 404) throw new NotFound(`${method} ${path}: 404`)
    if (response.status === 400 || response.status === 409 || response.status === 422) throw new InputRefused(refusals(answer))
    if (!response.ok || answer === undefined) throw new ApiUnavailable(response.status === 503 ? 503 : 502, `${method} ${path}: ${response.status}`)
    return answer as T
  }

  return {
    /** Also makes the person a worker when the API sees them for the first time. */
    me: () => call<Worker>('GET', '/me'),
    workers: () => call<Worker[]>('GET', '/workers'),
    projects: () => call<Project[]>('GET', '/projects'),
    createProject: (name: string) => call<Project>('POST', '/projects', { name }),
    tasks: () => call<Task[]>('GET', `/tasks?limit=${TASKS_LIMIT}`),
    createTask: (task: NewTask) => call<Task>('POST', '/tasks', task),
    changeTask: (id: number, change: TaskChange) => call<Task>('PATCH', `/tasks/${id}`, change),
    audit: (limit: number) => call<AuditEntry[]>('GET', `/audit?limit=${limit}`),
  }
}

/** FastAPI's `detail` is a sentence, or a list that names the field each message is about. */
function refusals(answer: unknown): Map<string, string> {
  const detail = (answer as { detail?: unknown } | undefined)?.detail
  const fields = new Map<string, string>()
  if (Array.isArray(detail)) {
    for (const item of detail as { loc?: unknown[]; msg?: unknown }[]) {
      fields.set(String(item.loc?.at(-1) ?? ''), String(item.msg ?? 'not accepted'))
    }
  } else if (typeof detail === 'string') {
    fields.set('', detail)
  }
  if (fields.size === 0) fields.set('', 'The API did not accept this.')
  return fields
}
