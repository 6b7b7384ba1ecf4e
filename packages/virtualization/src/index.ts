export {
  ACCELERATORS,
  chooseAcceleration,
  chooseNestedAcceleration,
  errorOfOpening,
  type Acceleration,
  type Accelerator,
} from "./acceleration.ts";
export { chooseVirtualization, DISKS, VMMS, type Choice, type DisksKind, type VmmKind } from "./choose.ts";
export { defectsOf, firecrackerVersionOf, requireSupported } from "./firecracker-versions.ts";
export { keepChoice } from "./kept-choice.ts";
export { examineMachine, type Machine } from "./machine.ts";
