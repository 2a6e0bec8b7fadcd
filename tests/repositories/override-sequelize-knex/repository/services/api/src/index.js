const express = require('express');
const { sequelize } = require('./models');

const app = express();
const health = require('./routes/health');

app.use('/health', health);

sequelize.authenticate().then(() => app.listen(8080));
