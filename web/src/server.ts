/** Starts the dashboard, and ends it when asked to. */
import { serve } from '@hono/node-server'
import { createApp } from './app.ts'
import { readSettings, SettingsError, type Settings } from './settings.ts'

/** Milliseconds that requests under way get to finish; whoever stops us waits one second in all. */
const GRACE = 500

function settingsOrExit(): Settings {
  try {
    return readSettings(process.env)
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    console.error(`web: ${error.message}`)
    process.exit(2)
  }
}

const settings = settingsOrExit()
const server = serve({ fetch: createApp(settings).fetch, hostname: settings.host, port: settings.port }, ({ port }) => {
  console.log(`web: listening on ${settings.host}:${port}, dashboard at ${settings.webUrl}`)
})

server.on('error', (error: NodeJS.ErrnoException) => {
  const taken = error.code === 'EADDRINUSE' ? `port ${settings.port} on ${settings.host} is taken` : error.message
  console.error(`web: ${taken}`)
  process.exit(3)
})

function stop(): void {
  // Takes no new connection and ends idle ones; a browser's open keep-alive connection would otherwise hold us for minutes.
  server.close(() => process.exit(0))
  if ('closeAllConnections' in server) setTimeout(() => server.closeAllConnections(), GRACE).unref()
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
