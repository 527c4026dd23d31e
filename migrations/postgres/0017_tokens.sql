-- Tokens: who may use the HTTP API, and how far. A row stays when its token has expired or was revoked, so that what was done
-- with it has a name.
create table intendant.token (
  id uuid primary key,
  name text not null check (length(name) between 1 and 200),
  -- SHA-256 of the secret, in hexadecimal; the secret itself is nowhere.
  secret_hash text not null check (length(secret_hash) = 64),
  scope text not null check (scope in ('viewer', 'operator', 'admin')),
  -- Null: every account.
  account text check (length(account) between 1 and 200),
  created_at timestamptz not null,
  created_by text not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  revoked_by text,
  check ((revoked_at is null) = (revoked_by is null))
);
