ActiveRecord::Schema[8.0].define(version: 2025_09_01_120000) do
  create_table "orders", force: :cascade do |t|
    t.decimal "total", null: false
  end
end
