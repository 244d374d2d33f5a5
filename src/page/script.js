// The forms of a page: they send JSON, and say what the server answers.

const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join('');

function valueOf(field) {
  const text = field.value;
  switch (field.dataset.type) {
    case 'boolean':
      return field.type === 'checkbox' ? field.checked : text === 'true';
    case 'number':
      return Number(text);
    case 'list':
      return text
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '');
    case 'json':
      return JSON.parse(text);
    default:
      return text;
  }
}

function isChanged(field) {
  if (field.type === 'checkbox') return field.checked !== field.defaultChecked;
  if (field.tagName === 'SELECT')
    return [...field.options].some((one) => one.selected !== one.defaultSelected);
  return field.value !== field.defaultValue;
}

function isTold(field, method) {
  if (method === 'PATCH') return isChanged(field);
  if (field.type === 'checkbox') return field.checked || isChanged(field);
  return field.value !== '';
}

function bodyOf(form, method) {
  const fields = [...form.querySelectorAll('[data-path]')];
  if (fields.length === 0) return undefined;
  const body = {};
  for (const field of fields) {
    if (!isTold(field, method)) continue;
    const path = JSON.parse(field.dataset.path);
    let at = body;
    for (const name of path.slice(0, -1)) at = at[name] ??= {};
    at[path.at(-1)] = method === 'PATCH' && field.value === '' ? null : valueOf(field);
  }
  return body;
}

function show(form, { message, errors = [] }) {
  const result = document.getElementById(form.dataset.result);
  const list = document.createElement('ul');
  for (const { pointer, parameter, message: text } of errors) {
    const item = document.createElement('li');
    item.textContent = `${pointer ?? parameter ?? ''} ${text}`;
    list.append(item);
    const path = JSON.stringify((pointer ?? '').split('/').slice(1));
    for (const field of form.querySelectorAll('[data-path]'))
      if (field.dataset.path === path) field.setAttribute('aria-invalid', 'true');
  }
  result.replaceChildren(message, ...(errors.length === 0 ? [] : [list]));
}

async function failure(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { message: `The server answered ${response.status}.` };
  }
}

function proceed(form, response, method) {
  const place = response.headers.get('Location');
  const { pathname } = window.location;
  const isGone = method === 'DELETE' && form.dataset.action === pathname;
  if (place !== null) window.location.assign(new URL(place, window.location.href).pathname);
  else if (isGone) window.location.assign(pathname.slice(0, pathname.lastIndexOf('/')));
  else window.location.reload();
}

async function send(form) {
  const { method, action, tag, name } = form.dataset;
  for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  if (method === 'DELETE' && !window.confirm(`${name}?`)) return;
  let body;
  try {
    body = bodyOf(form, method);
  } catch {
    show(form, { message: 'A field that takes JSON has none.' });
    return;
  }
  form.dataset.key ||= key();
  const response = await fetch(action, {
    method,
    headers: {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(tag === '' ? {} : { 'If-Match': tag }),
      ...(method === 'POST' ? { 'Idempotency-Key': form.dataset.key } : {}),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  delete form.dataset.key;
  if (response.ok) proceed(form, response, method);
  else show(form, await failure(response));
}

async function signIn(form) {
  const response = await fetch('/api/v2/signin', {
    method: 'POST',
    headers: { Accept: 'application/json', Authorization: `Bearer ${form.elements.key.value.trim()}` },
  });
  if (response.ok) window.location.reload();
  else show(form, await failure(response));
}

/** Once at a time, and with an answer even if the server cannot be reached. */
function onSubmit(form, work) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('[type=submit]');
    button.disabled = true;
    try {
      await work(form);
    } catch {
      show(form, { message: 'The server cannot be reached.' });
    }
    button.disabled = false;
  });
}

const signInForm = document.getElementById('sign-in');
if (signInForm !== null) onSubmit(signInForm, signIn);
for (const form of document.querySelectorAll('form.api')) onSubmit(form, send);

// A field that is left empty is no filter.
for (const form of document.querySelectorAll('form.query'))
  form.addEventListener('formdata', ({ formData }) => {
    for (const [name, value] of [...formData]) if (value === '') formData.delete(name);
  });

document.getElementById('sign-out')?.addEventListener('click', async () => {
  await fetch('/api/v2/signout', { method: 'POST', headers: { Accept: 'application/json' } });
  window.location.reload();
});
