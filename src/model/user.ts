/** People and programs that call the API. */

export interface UserRecord {
  name: string;
  /** An inactive user's keys are refused. */
  active: boolean;
  creationTime: string;
}

/** An API key as stored: only its hash. */
export interface ApiKeyRecord {
  userId: string;
  name: string;
  /** HMAC-SHA-256 of the key under the store's secret, hex. */
  hash: string;
  creationTime: string;
}

/** The identified caller of a request. */
export interface Principal {
  id: string;
  name: string;
  superUser: boolean;
}
