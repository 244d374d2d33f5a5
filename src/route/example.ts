/**
 * Values of path parameters in the document's examples: placeholder ids, which the test that runs the examples replaces
 * by real ones.
 */
export const exampleIds = {
  organizationID: '0193a5c0-0000-7000-8000-000000000001',
  projectID: '0193a5c0-0000-7000-8000-000000000002',
  regionID: '0193a5c0-0000-7000-8000-000000000003',
  flavorID: '0193a5c0-0000-8000-8000-000000000004',
  imageID: '0193a5c0-0000-8000-8000-000000000005',
  networkID: '0193a5c0-0000-7000-8000-000000000008',
  instanceID: '0193a5c0-0000-7000-8000-000000000006',
  taskID: '0193a5c0-0000-7000-8000-000000000007',
  userID: '0193a5c0-0000-7000-8000-000000000009',
  keyID: '0193a5c0-0000-7000-8000-00000000000a',
  labelID: '0193a5c0-0000-7000-8000-00000000000e',
  sessionID: '0193a5c0-0000-7000-8000-00000000000c',
  subscriptionID: '0193a5c0-0000-7000-8000-00000000000f',
  deliveryID: '0193a5c0-0000-7000-8000-000000000010',
  auditEventID: '0193a5c0-0000-7000-8000-00000000000b',
  asset: 'errors',
  file: 'style.css',
} as const;
