import { expect, test } from 'vitest'
import { readConfig } from '../src/config.ts'

test('nothing is done unless it is set, and then in the order of the table', () => {
  expect(readConfig({}).containment).toEqual({ measures: [], snapshotCommand: undefined })
  const { containment } = readConfig({ DENDROLOG_CONTAINMENT: ' snapshot, lock-writer,,snapshot' })
  expect(containment.measures).toEqual(['lock-writer', 'snapshot'])
  expect(() => readConfig({ DENDROLOG_CONTAINMENT: 'snapshot,shutdown' })).toThrow(
    /got "shutdown", want some of .*snapshot/,
  )
})

test('a command is a program, or a list of it and its arguments, and goes with the measure that runs it', () => {
  const read = (command: string, measures = 'snapshot'): unknown =>
    readConfig({ DENDROLOG_CONTAINMENT: measures, DENDROLOG_SNAPSHOT_COMMAND: command }).containment.snapshotCommand
  expect(read('/opt/keep disks')).toEqual(['/opt/keep disks'])
  expect(read('["/opt/keep", "--volume", "vol 1"]')).toEqual(['/opt/keep', '--volume', 'vol 1'])
  expect(() => read('["/opt/keep", 1]')).toThrow('DENDROLOG_SNAPSHOT_COMMAND: want a program')
  expect(() => read('/opt/keep', 'pin-checkpoint')).toThrow(
    'DENDROLOG_SNAPSHOT_COMMAND: would never be run: DENDROLOG_CONTAINMENT does not name the measure snapshot',
  )
})
