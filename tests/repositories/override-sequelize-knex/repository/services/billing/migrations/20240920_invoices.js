exports.up = (knex) =>
  knex.schema.createTable('invoices', (table) => {
    table.increments();
    table.decimal('amount').notNullable();
  });

exports.down = (knex) => knex.schema.dropTable('invoices');
