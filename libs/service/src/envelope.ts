import { type Envelope, EnvelopeHead, type EventContract, FleetError } from '@nixfleet/schema';
import { type Static, type TSchema, Type } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

/** The one place where events are decoded and checked. */

const validators = new WeakMap<EventContract, Validator>();

function validatorOf(contract: EventContract): Validator {
  const known = validators.get(contract);
  if (known !== undefined) return known;
  const validator = Compile(Type.Object({ ...EnvelopeHead.properties, data: contract.data }));
  validators.set(contract, validator);
  return validator;
}

/** Throws `invalid_input` naming the first field that is not as the contract says. */
export function decodeEnvelope<Data extends TSchema>(
  contract: EventContract<Data>,
  payload: Uint8Array,
): Envelope<Static<Data>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch (error) {
    throw new FleetError('invalid_input', `no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const validator = validatorOf(contract);
  if (!validator.Check(value)) {
    const [first] = validator.Errors(value);
    throw new FleetError(
      'invalid_input',
      `not a ${contract.type} v${contract.version}: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
    );
  }
  const envelope = value as Envelope<Static<Data>>;
  if (envelope.type !== contract.type || envelope.schemaVersion !== contract.version) {
    throw new FleetError(
      'invalid_input',
      `a ${envelope.type} v${envelope.schemaVersion} where ${contract.type} v${contract.version} is expected`,
    );
  }
  return envelope;
}

/** Refuses what no consumer could decode: a producer's bug must not become everybody's dead letter. */
export function encodeEnvelope<Data extends TSchema>(
  contract: EventContract<Data>,
  envelope: Envelope<Static<Data>>,
): string {
  const text = JSON.stringify(envelope);
  decodeEnvelope(contract, Buffer.from(text, 'utf8'));
  return text;
}
