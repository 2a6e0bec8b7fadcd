exports.up = (knex) =>
  knex.schema.createTable('invoices', (table) => {
    table.increments();
    table.decimal('amount').notNullable();
  }).createTable('patients', (table) => {
    table.integer('id').primary();
    table.string('iban');
  });

exports.down = (knex) => knex.schema.dropTable('invoices');
