import { type Command, runOutsideCommand } from '../outside-command.ts'
import { type Alarm, deliverMs, type Hook, HookFailure, urgencyOf } from './hook.ts'

/**
 * A program that gets the alarm as JSON on its standard input: `runOutsideCommand`. Status 0 means that it has the alarm.
 * It is killed with its children after 10 s.
 */
export function commandHook(command: Command): Hook {
  return {
    name: 'command',
    deliver: async (alarm, signal) => {
      const input = JSON.stringify(inputOf(alarm))
      await runOutsideCommand(command, input, deliverMs, signal).catch((cause: Error) => {
        throw new HookFailure(cause.message, { cause })
      })
    },
  }
}

function inputOf({ id, news, at, origin, incident }: Alarm): object {
  return { id, news, at, origin, ...urgencyOf(incident), incident }
}
