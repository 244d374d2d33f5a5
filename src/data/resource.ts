import type { ProjectData } from './project.js';
import type { Store } from './store/port.js';

/** A part of the connector that needs only the store and the projects. */
export abstract class ResourceData {
  protected readonly store: Store;
  protected readonly projects: ProjectData;

  constructor(store: Store, projects: ProjectData) {
    this.store = store;
    this.projects = projects;
  }
}
