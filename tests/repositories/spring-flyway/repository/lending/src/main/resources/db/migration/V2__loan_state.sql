alter table loan add column state text not null default 'open';
