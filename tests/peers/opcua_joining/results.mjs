// Results of a joining system (OPC 40450-1, 40451-1): every value follows from the result's number, as in ../telegrams.py.

export const NO_TORQUE_LIMIT = 999900;
export const NO_ANGLE_LIMIT = 9999;
// CEFACT codes as numbers: "NU" newton metre, "DD" degree, "SEC" second.
const UNITS = {
  torque: { namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: 20053, displayName: { text: "N·m" }, description: { text: "newton metre" } },
  angle: { namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: 17476, displayName: { text: "°" }, description: { text: "degree [unit of angle]" } },
};
const QUANTITY = { torque: 2, angle: 3 };
const FINAL = 1;

export const vin = (number) => `WVWZZZ1JZXW${String(number).padStart(6, "0")}`;

export function derive(number) {
  const mixed = Number((BigInt(number) * 2654435761n) & 0xffffffffn);
  const bits = (shift, mask) => Math.floor(mixed / 2 ** shift) & mask;
  return {
    vin: vin(number),
    pset: (number % 250) + 1,
    batchSize: 99,
    batchCounter: (number % 99) + 1,
    good: number % 7 !== 0,
    torqueStatus: bits(3, 0x1fffffff) % 3,
    angleStatus: bits(5, 0x7ffffff) % 3,
    torqueMin: (number % 7000) + 1,
    torqueMax: number % 50 === 0 ? NO_TORQUE_LIMIT : ((number * 13) % 90000) + 10000,
    torqueTarget: ((number * 7) % 30000) + 3,
    torque: bits(11, 0xffff),
    angleMin: number % 500,
    angleMax: number % 50 === 1 ? NO_ANGLE_LIMIT : (number % 500) + 9000,
    angleTarget: number % 360,
    angle: bits(7, 0x3fff),
    toolSerial: "C0761275",
    psetName: `Program ${(number % 250) + 1}`,
  };
}

// 200 samples of a trace, as pairs of torque (hundredths) and angle.
export function samples(number, count = 200) {
  const raw = derive(number);
  const torque = [];
  const angle = [];
  for (let at = 0; at < count; at += 1) {
    torque.push(Math.floor((raw.torque * (at + 1)) / count) / 100);
    angle.push(Math.floor((raw.angle * (at + 1)) / count));
  }
  return { torque, angle };
}

// Two slips of node-opcua 2.186, each of which breaks every other stack, are mended here as OPC 10000-6, 5.2.7 has it.
// A subtype's own list may hold the fields of its base type, too, which then are encoded twice (JoiningTraceDataType); and the
// bits of a subtype's optional fields begin behind all fields of its base type instead of behind the optional ones.
const mended = new Set();
function mend(schema) {
  const base = schema.getBaseSchema();
  const before = base ? mend(base) : { names: new Set(), bits: 0 };
  const own = schema.fields;
  if (!mended.has(schema)) {
    mended.add(schema);
    for (let at = own.length - 1; at >= 0; at -= 1) if (before.names.has(own[at].name)) own.splice(at, 1);
    let bit = before.bits;
    for (const field of own) if (field.switchBit !== undefined) field.switchBit = bit++;
  }
  const optional = own.filter((field) => field.switchBit !== undefined).length;
  return { names: new Set([...before.names, ...own.map((field) => field.name)]), bits: before.bits + optional };
}

// Makes the structures of an address space.
export class Maker {
  constructor(opcua, addressSpace) {
    this.opcua = opcua;
    this.space = addressSpace;
    this.ijt = addressSpace.getNamespaceIndex("http://opcfoundation.org/UA/IJT/Base/");
    this.result = addressSpace.getNamespaceIndex("http://opcfoundation.org/UA/Machinery/Result/");
  }

  make(namespace, name, fields) {
    const type = this.space.findDataType(name, namespace);
    if (!type) throw new Error(`there is no data type ${name} in namespace ${namespace}`);
    const made = this.space.constructExtensionObject(type, fields);
    mend(made.schema);
    return made;
  }

  variant(value) {
    return new this.opcua.Variant({ dataType: this.opcua.DataType.ExtensionObject, value });
  }

  value(what, tag, measured, more = {}) {
    const fields = { measuredValue: measured, physicalQuantity: QUANTITY[what], engineeringUnits: UNITS[what], ...more };
    if (tag !== undefined) fields.valueTag = tag;
    return this.make(this.ijt, "ResultValueDataType", fields);
  }

  // The final torque and angle: limits that a controller does not have are left out.
  finals(raw) {
    const verdict = (status) => ({ resultEvaluation: status === 1 ? 1 : 2, violationType: [2, 0, 1][status] });
    const torque = { name: "Final torque", targetValue: raw.torqueTarget / 100, lowLimit: raw.torqueMin / 100, ...verdict(raw.torqueStatus) };
    if (raw.torqueMax !== NO_TORQUE_LIMIT) torque.highLimit = raw.torqueMax / 100;
    const angle = { name: "Final angle", targetValue: raw.angleTarget, lowLimit: raw.angleMin, ...verdict(raw.angleStatus) };
    if (raw.angleMax !== NO_ANGLE_LIMIT) angle.highLimit = raw.angleMax;
    return [this.value("torque", FINAL, raw.torque / 100, torque), this.value("angle", FINAL, raw.angle, angle)];
  }

  // What is not the final value stands before it: who takes the first torque takes the wrong one.
  overall(raw) {
    return [this.value("torque", 3, 0.25, { name: "Snug torque" }), this.value("angle", undefined, 7, { name: "Rundown angle" }), ...this.finals(raw)];
  }

  step(id, name, values, more = {}) {
    return this.make(this.ijt, "StepResultDataType", { stepResultId: id, programStepId: `p-${id}`, name, resultEvaluation: 1, stepResultValues: values, ...more });
  }

  entity(type, id, name, more = {}) {
    return this.make(this.ijt, "EntityDataType", { name, entityId: id, entityType: type, isExternal: type === 20, ...more });
  }

  trace(number, id) {
    const { torque, angle } = samples(number);
    const content = (what, values) =>
      this.make(this.ijt, "TraceContentDataType", { values, name: what, physicalQuantity: QUANTITY[what], engineeringUnits: UNITS[what], sensorId: `s-${what}` });
    const step = this.make(this.ijt, "StepTraceDataType", {
      stepTraceId: `t-${number}`, stepResultId: "2", numberOfTracePoints: torque.length, samplingInterval: 5, startTimeOffset: 10,
      stepTraceContent: [content("torque", torque), content("angle", angle)],
    });
    return this.make(this.ijt, "JoiningTraceDataType", { traceId: `trace-${number}`, resultId: id, stepTraces: [step] });
  }

  content(number, kind, id, trace) {
    const raw = derive(number);
    // `steps`: there is no overall value; the final one is in the last step that has one, behind which another step has none.
    const inSteps = kind === "steps";
    const steps = [
      this.step("1", "Rundown", [this.value("torque", FINAL, 0.5, {}), this.value("angle", FINAL, 3, {})]),
      this.step("2", "Tighten", inSteps ? this.finals(raw) : [this.value("torque", 5, raw.torque / 100, {})], { startTimeOffset: 120 }),
    ];
    if (kind === "last") steps.push(this.step("3", "Release", [this.value("torque", 5, 0.1, {})]));
    const errors = raw.good ? [] : [this.make(this.ijt, "ErrorInformationDataType", { errorType: 3, errorId: "E-4", legacyError: "4", errorMessage: { text: "over max angle" } })];
    const fields = { overallResultValues: inSteps ? [] : this.overall(raw), stepResults: steps, errors };
    if (!raw.good) fields.failureReason = 1;
    if (trace) fields.trace = this.trace(number, id);
    return this.make(this.ijt, "JoiningResultDataType", fields);
  }

  meta(number, id, classification, sequence, when, more = {}) {
    const raw = derive(number);
    const vinEntity = more.plain ? this.entity(21, raw.vin, "VIN") : this.entity(20, raw.vin, "VIN");
    return this.make(this.ijt, "JoiningResultMetaDataType", {
      resultId: id,
      hasTransferableDataOnFile: false,
      isPartial: false,
      isSimulated: false,
      resultState: 1,
      creationTime: when,
      processingTimes: this.make(this.result, "ProcessingTimesDataType", { startTime: new Date(when.getTime() - 1500), endTime: when, acquisitionDuration: 1500 }),
      resultEvaluation: raw.good ? 1 : 2,
      joiningTechnology: { text: "Tightening" },
      sequenceNumber: this.opcua.coerceUInt64(sequence),
      name: `Result ${number}`,
      classification,
      operationMode: 1,
      assemblyType: 1,
      associatedEntities: [
        this.entity(26, "process-7", "Joining process"),
        this.entity(27, String(raw.pset), raw.psetName),
        vinEntity,
        this.entity(4, raw.toolSerial, "Tool"),
        this.entity(3, "PFC-1", "Controller"),
      ],
      resultCounters: [
        this.make(this.ijt, "ResultCounterDataType", { name: "spindle", counterValue: 1, counterType: 7 }),
        this.make(this.ijt, "ResultCounterDataType", { name: "batch size", counterValue: raw.batchSize, counterType: 2 }),
        this.make(this.ijt, "ResultCounterDataType", { name: "batch count", counterValue: raw.batchCounter, counterType: 3 }),
      ],
      isGeneratedOffline: false,
    });
  }

  // A ResultDataType: `single`, `steps`, `batch` and `sync` (children: numbers), `empty` (no content).
  whole(entry) {
    const { n, id, sequence, kind, trace } = entry;
    const when = new Date(entry.when);
    if (kind === "batch" || kind === "sync") {
      const children = entry.children.map((number) =>
        this.variant(this.make(this.result, "ResultDataType", {
          resultMetaData: this.meta(number, `R-${String(number).padStart(6, "0")}`, 1, number, when),
          resultContent: [this.variant(this.content(number, "single", `R-${number}`, false))],
        })),
      );
      return this.make(this.result, "ResultDataType", { resultMetaData: this.meta(n, id, kind === "batch" ? 3 : 2, sequence, when), resultContent: children });
    }
    const content = kind === "empty" ? [] : [this.variant(this.content(n, kind, id, trace))];
    return this.make(this.result, "ResultDataType", { resultMetaData: this.meta(n, id, 1, sequence, when, { plain: kind === "plain" }), resultContent: content });
  }
}
