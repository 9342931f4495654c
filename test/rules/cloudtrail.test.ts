import { expect, test } from 'vitest'
import type { Rules } from '../../src/rules/open-rules.ts'
import { entriesOf, readDeployed, readSample, rulesOf, sampleEntries } from './events.ts'

// What the simulated attack in the sample (test/data) did, as far as its every other event shows it, and that the rules
// of deploy/watch-rules/cloudtrail.json find each step. The sample is of one hour; the rules were written without
// sequence numbers, which are places in it here.

const file = await readDeployed('cloudtrail.json')
const events = await readSample()

/** `rule number` of each match, and what the event was. */
function found(rules: Rules): readonly (readonly [string, number, string])[] {
  const matches = rules.take(sampleEntries(rules, events))
  return matches.map(({ rule, entry: { sequenceNumber, action } }) => [rule, sequenceNumber, action])
}

/** As deployed, but for the time in which it is learned what is usual: a day is longer than the sample. */
function learningFor(learnSeconds: number): object {
  return {
    ...file,
    rules: file.rules.map((rule) =>
      rule.firstSeen === undefined ? rule : { ...rule, firstSeen: { ...rule.firstSeen, learnSeconds } },
    ),
  }
}

const steps: readonly (readonly [step: string, rule: string, number: number, action: string])[] = [
  // 13 of 13 calls of the role that asks for passwords of instances, and 8 of 8 of the one that reads user data.
  ['denied calls in a burst, for passwords of instances', 'denied-burst', 56, 'ec2.GetPasswordData'],
  ['the same burst, by what is asked for', 'password-data-requested', 56, 'ec2.GetPasswordData'],
  ['denied calls in a burst, for user data', 'denied-burst', 461, 'ec2.DescribeInstanceAttribute'],
  ['a policy for a role whose credentials are stolen then', 'privilege-escalation', 75, 'iam.AttachRolePolicy'],
  ['secrets read one after the other', 'secrets-harvested', 213, 'secretsmanager.GetSecretValue'],
  ['a trail deleted, which was gone already', 'logging-off', 395, 'cloudtrail.DeleteTrail'],
  ['flow logs of the network deleted', 'logging-off', 448, 'ec2.DeleteFlowLogs'],
  ['trails deleted', 'logging-off', 814, 'cloudtrail.DeleteTrail'],
  ['trails deleted', 'logging-off', 816, 'cloudtrail.DeleteTrail'],
  ['SSH opened to everybody', 'port-opened-to-all', 962, 'ec2.AuthorizeSecurityGroupIngress'],
  ['an image given to another account', 'shared-outside', 970, 'ec2.ModifyImageAttribute'],
  ['a database copy given to another account', 'shared-outside', 1_146, 'rds.ModifyDBSnapshotAttribute'],
  ['a console password for a user that had none', 'new-access-key', 1_160, 'iam.CreateLoginProfile'],
  ['rights of an administrator', 'privilege-escalation', 1_171, 'iam.AttachUserPolicy'],
  ['rights of an administrator, named as such', 'administrator-access', 1_171, 'iam.AttachUserPolicy'],
  ['access by certificate, from outside', 'new-access-key', 1_212, 'rolesanywhere.CreateProfile'],
  ['who may become a role changed', 'privilege-escalation', 1_253, 'iam.UpdateAssumeRolePolicy'],
]

test.each(steps)('found: %s (%s, entry %i)', (_, rule, number, action) => {
  expect(found(rulesOf(file))).toContainEqual([rule, number, action])
})

test('of 1,450 events three more are told of, and nothing that people or services did besides', () => {
  const others = found(rulesOf(file)).filter(
    (match) => !steps.some(([, rule, number]) => rule === match[0] && number === match[1]),
  )
  expect(others).toEqual([
    // Roles of the attack's own instances.
    ['privilege-escalation', 524, 'iam.AttachRolePolicy'],
    // Its tool reads all secrets again before it removes them.
    ['secrets-harvested', 652, 'secretsmanager.GetSecretValue'],
    ['privilege-escalation', 928, 'iam.AttachRolePolicy'],
  ])
})

test('stolen credentials are seen at another address than that of their instance', () => {
  const matches = found(rulesOf(learningFor(600))).filter(([rule]) => rule === 'new-address-of-identity')
  // 127 is the instance with its role, 129 that role at the attacker's address.
  expect(matches.map(([, number]) => number)).toEqual([43, 49, 127, 129, 457, 513, 546, 950, 1_055])
  expect(found(rulesOf(file)).filter(([rule]) => rule === 'new-address-of-identity')).toEqual([])
})

// Steps of such attacks that every other event of this one does not have.
test.each([
  ['new-access-key', 'iam.CreateAccessKey', {}],
  ['logging-off', 'cloudtrail.StopLogging', {}],
  ['logging-off', 'cloudtrail.PutEventSelectors', {}],
  ['logging-off', 'guardduty.DeleteDetector', {}],
  ['privilege-escalation', 'iam.CreatePolicyVersion', {}],
  ['root-used', 's3.ListBuckets', { userIdentity: { type: 'Root' } }],
  [
    'login-without-mfa',
    'signin.ConsoleLogin',
    { additionalEventData: { MFAUsed: 'No' }, responseElements: { ConsoleLogin: 'Success' } },
  ],
])('found too: %s by %s', (rule, action, payload) => {
  const rules = rulesOf(file)
  expect(rules.take(entriesOf(rules, [{ action, payload }])).map((match) => match.rule)).toEqual([rule])
})

test.each([
  ['iam.CreateAccessKey', { errorCode: 'AccessDenied' }],
  ['signin.ConsoleLogin', { additionalEventData: { MFAUsed: 'Yes' }, responseElements: { ConsoleLogin: 'Success' } }],
  ['iam.ListAccessKeys', {}],
  ['cloudtrail.DescribeTrails', {}],
])('not told of: one %s', (action, payload) => {
  const rules = rulesOf(file)
  expect(rules.take(entriesOf(rules, [{ action, payload }]))).toEqual([])
})
